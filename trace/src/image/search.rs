//! Finds a few bytes in many.
//!
//! The first four bytes are compared at 64 places at a time, without a branch, so that the compiler makes
//! vector instructions of it: some gigabytes a second, which is what reading only parts of the DWARF
//! rests on.

/// Places compared at a time.
const STEP: usize = 64;

/// Every offset at which `text` occurs in `bytes`, in order. Of an empty text there are none.
pub fn find_all(bytes: &[u8], text: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let ([first, ..], Some(last)) = (text, bytes.len().checked_sub(text.len())) else {
        return found;
    };
    let head = &text[..text.len().min(4)];
    // What a shorter text leaves open is compared with the text's first byte at its own place, again.
    let mut wanted = [(0, *first); 4];
    for (slot, (at, byte)) in wanted.iter_mut().zip(head.iter().enumerate()) {
        *slot = (at, *byte);
    }
    let [(a, p), (b, q), (c, r), (d, s)] = wanted;
    let mut start = 0;
    while start <= last {
        let may = match bytes.get(start..start + STEP + 3) {
            Some(block) => {
                let lanes = |at: usize| &block[at..at + STEP];
                let (a, b, c, d) = (lanes(a), lanes(b), lanes(c), lanes(d));
                (0..STEP).fold(0, |any, i| {
                    any | u8::from((a[i] == p) & (b[i] == q) & (c[i] == r) & (d[i] == s))
                }) != 0
            }
            None => true,
        };
        if may {
            let end = (start + STEP).min(last + 1);
            found.extend((start..end).filter(|at| bytes[*at..].starts_with(text)));
        }
        start += STEP;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::find_all;

    #[test]
    fn every_place_is_found_wherever_it_lies() {
        for len in 1..7 {
            let text = &b"abcdefg"[..len];
            for at in 0..200 {
                let mut bytes = vec![b'a'; 200 + len];
                bytes[at..at + len].copy_from_slice(text);
                let found = find_all(&bytes, text);
                let plain: Vec<usize> = (0..=bytes.len() - len)
                    .filter(|i| &bytes[*i..*i + len] == text)
                    .collect();
                assert_eq!(found, plain, "{len} at {at}");
            }
        }
        assert!(find_all(b"ab", b"abc").is_empty());
        assert!(find_all(b"ab", b"").is_empty());
    }
}
