//! How long a recording is, as far as its bytes say.

/// Bytes of a second at least, by kind of file. Nothing that people record is
/// packed tighter: MP3 has no fewer than 8 kbit a second, speech codecs that are
/// taken (Opus, AAC) are of no use below 6.
const MP3: u64 = 1_000;
const OTHER: u64 = 750;
/// Bytes of a second as they are about, for estimates: 64 kbit.
const USUAL: u64 = 8_000;

/// Seconds that `bytes` can hold at most.
pub(super) fn most_seconds(bytes: &[u8]) -> u64 {
    let length = crate::tokens::length(bytes.len());
    if let Some(rate) = wave_rate(bytes) {
        return length.div_ceil(rate);
    }
    let is_mp3 = bytes.starts_with(b"ID3")
        || (bytes.first() == Some(&0xff) && bytes.get(1).is_some_and(|b| b & 0xe6 == 0xe2));
    length.div_ceil(if is_mp3 { MP3 } else { OTHER })
}

/// Seconds that `bytes` hold about.
pub(super) fn about_seconds(bytes: &[u8]) -> u64 {
    let length = crate::tokens::length(bytes.len());
    length.div_ceil(wave_rate(bytes).unwrap_or(USUAL))
}

/// Bytes of a second of plain samples in a WAVE file, by what a decoder reads: the
/// header's own figure of bytes a second is not looked at by it.
fn wave_rate(bytes: &[u8]) -> Option<u64> {
    let number = |at: usize, size: usize| {
        let bytes = bytes.get(at..at + size)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0_u64, |n, b| (n << 8) | u64::from(*b)),
        )
    };
    if bytes.get(..4)? != b"RIFF" || bytes.get(8..16)? != b"WAVEfmt " {
        return None;
    }
    // 1 are whole numbers, 3 are floats; everything else is packed.
    let (format, channels, rate, bits) = (
        number(20, 2)?,
        number(22, 2)?,
        number(24, 4)?,
        number(34, 2)?,
    );
    let bytes_a_second = channels * rate * bits / 8;
    let is_plain = matches!(format, 1 | 3) && bits >= 8 && bytes_a_second >= 4_000;
    is_plain.then_some(bytes_a_second)
}

/// A WAVE file of silence.
#[cfg(test)]
pub(super) fn wave(seconds: usize, rate: u32, bits: u16) -> Vec<u8> {
    let mut out = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    out.extend(rate.to_le_bytes());
    // The figure that nobody looks at.
    out.extend(1_000_000_000_u32.to_le_bytes());
    out.extend(2_u16.to_le_bytes());
    out.extend(bits.to_le_bytes());
    out.extend(b"data\0\0\0\0");
    out.resize(
        out.len() + seconds * rate as usize * usize::from(bits) / 8,
        0,
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_samples_are_counted_and_all_else_is_bounded() {
        let file = wave(10, 16_000, 16);
        assert_eq!((most_seconds(&file), about_seconds(&file)), (11, 11));
        // A header that lies about its packing is not believed.
        let mut packed = file.clone();
        packed[20] = 0x11;
        assert_eq!(most_seconds(&packed), length_of(&packed).div_ceil(OTHER));
        let mp3 = [b"ID3".as_slice(), &[0; 9_997]].concat();
        assert_eq!(most_seconds(&mp3), 10);
        assert_eq!(most_seconds(&[0xff, 0xfb, 0, 0]), 1);
        assert_eq!(most_seconds(b""), 0);
        for cut in 0..44 {
            most_seconds(&file[..cut]);
        }
    }

    fn length_of(bytes: &[u8]) -> u64 {
        u64::try_from(bytes.len()).expect("small")
    }
}
