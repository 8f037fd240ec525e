//! Writing protobuf: a message is appended to a buffer field by field.
//!
//! Written here and not with `prost`, because what is written is told by tables (the fields of an event,
//! whatever they are) and borrows its texts from the recording: with messages as structures each event
//! would be copied into owned strings first. As in Perfetto's own writer, the length of a nested
//! message is a number of a fixed width that is filled in when the message ends.

/// Width of a nested message's length: messages of up to 256 MiB.
const LENGTH: usize = 4;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const DELIMITED: u64 = 2;

/// A message that is being written.
pub(super) struct Message<'b>(&'b mut Vec<u8>);

impl<'b> Message<'b> {
    /// The fields of a message at the end of `buffer`.
    pub(super) fn at_end_of(buffer: &'b mut Vec<u8>) -> Message<'b> {
        Message(buffer)
    }

    /// A field of type `uint32`, `uint64`, `bool` or of an enumeration.
    pub(super) fn uint(&mut self, field: u32, value: u64) -> &mut Self {
        self.key(field, VARINT);
        self.varint(value);
        self
    }

    /// A field of type `int32` or `int64`.
    pub(super) fn int(&mut self, field: u32, value: i64) -> &mut Self {
        self.uint(field, value as u64)
    }

    /// A field of type `fixed64`.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) -> &mut Self {
        self.key(field, FIXED64);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A field of type `string`.
    pub(super) fn text(&mut self, field: u32, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    /// A field of type `bytes`.
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) -> &mut Self {
        self.key(field, DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    /// Fields that are encoded already.
    pub(super) fn complete(&mut self, fields: &[u8]) -> &mut Self {
        self.0.extend(fields);
        self
    }

    /// A field that is a message.
    pub(super) fn message(&mut self, field: u32, fill: impl FnOnce(&mut Message<'_>)) -> &mut Self {
        self.key(field, DELIMITED);
        let at = self.0.len();
        self.0.extend([0; LENGTH]);
        fill(&mut Message(self.0));
        let length = self.0.len() - at - LENGTH;
        debug_assert!(length < 1 << (7 * LENGTH));
        for byte in 0..LENGTH {
            let more = if byte + 1 < LENGTH { 0x80 } else { 0 };
            self.0[at + byte] = (length >> (7 * byte)) as u8 & 0x7f | more;
        }
        self
    }

    fn key(&mut self, field: u32, wire_type: u64) {
        self.varint(u64::from(field) << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded_as_the_specification_says() {
        let mut buffer = Vec::new();
        Message::at_end_of(&mut buffer)
            .uint(1, 150)
            .int(2, -1)
            .text(2, "testing")
            .fixed64(3, 1);
        let mut wanted = vec![0x08, 0x96, 0x01, 0x10];
        wanted.extend([0xff; 9]);
        wanted.push(0x01);
        wanted.extend(b"\x12\x07testing");
        wanted.extend([0x19, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(buffer, wanted);
    }

    #[test]
    fn a_nested_message_has_its_length_before_it() {
        let mut buffer = Vec::new();
        Message::at_end_of(&mut buffer).message(3, |m| {
            m.uint(1, 150).message(1000, |m| {
                m.bytes(1, &[7; 200]);
            });
        });
        // 3 bytes; then a key of 2, a length of 4, and 203.
        assert_eq!(buffer[..5], [0x1a, 0x80 | 84, 0x80 | 1, 0x80, 0]);
        assert_eq!(buffer[5..8], [0x08, 0x96, 0x01]);
        assert_eq!(buffer[10..14], [0x80 | 75, 0x80 | 1, 0x80, 0]);
        assert_eq!(buffer.len(), 5 + 3 + 2 + 4 + 203);
    }
}
