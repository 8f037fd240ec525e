//! Small helpers on byte strings.
//!
//! Linux: lib/string.c, v6.8. **Kept** what the parsers need.

/// The bytes before the first NUL.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    &bytes[..len]
}

/// As text; anything that is not UTF-8 is an empty string.
pub fn as_str(bytes: &[u8]) -> &str {
    core::str::from_utf8(until_nul(bytes)).unwrap_or("")
}
