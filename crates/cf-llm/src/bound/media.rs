//! How large a picture is, and how long a sound, read from the first bytes of
//! what stands in a request as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::pictures::Size;
use crate::tokens::length;

/// Text of a picture that is looked at: cameras put up to some hundred kilobytes
/// before the size.
const HEAD: usize = 512 << 10;
/// Text that is enough for all kinds but JPEG.
const SHORT_HEAD: usize = 128;
/// Text of a GIF that is looked at: its colours and what programs write of
/// themselves stand before the first picture.
const GIF_HEAD: usize = 64 << 10;
/// Bytes that a second of compressed sound has at least: 8 kbit/s is MP3's least.
const SLOWEST: u64 = 1_000;

/// The size of a PNG, JPEG, WebP or GIF picture, as base64 or as a `data:` address.
pub(crate) fn picture_size(text: &str) -> Option<Size> {
    const PNG: &str = "iVBORw0KGgo";
    const JPEG: &str = "/9j/";
    const RIFF: &str = "UklGR";
    const GIF: &str = "R0lGOD";
    let data = data_of(text);
    if data.starts_with(GIF) {
        return gif_size(&decode(data, GIF_HEAD)?);
    }
    let head = if data.starts_with(JPEG) {
        HEAD
    } else if data.starts_with(PNG) || data.starts_with(RIFF) {
        SHORT_HEAD
    } else {
        return None;
    };
    let size = imagesize::blob_size(&decode(data, head)?).ok()?;
    let side = |n: usize| u64::try_from(n).ok().filter(|n| *n > 0);
    Some((side(size.width)?, side(size.height)?))
}

/// The size of a GIF's first picture, all of it: the size that is said at the
/// beginning is that of a screen, beyond which a picture may lie and be seen all the
/// same. Those that see pictures look at the first.
fn gif_size(gif: &[u8]) -> Option<Size> {
    let two = |at: usize| {
        Some(u64::from(u16::from_le_bytes(
            gif.get(at..at + 2)?.try_into().ok()?,
        )))
    };
    let (screen_width, screen_height) = (two(6)?, two(8)?);
    /// Bytes of a table of colours, by the flags that announce it.
    fn colours(flags: u8) -> usize {
        if flags & 0x80 == 0 {
            0
        } else {
            3 << ((flags & 7) + 1)
        }
    }
    let mut at = 13 + colours(*gif.get(10)?);
    loop {
        match gif.get(at)? {
            // Something else: its kind, then blocks up to an empty one.
            0x21 => {
                at += 2;
                loop {
                    let length = usize::from(*gif.get(at)?);
                    at += 1 + length;
                    if length == 0 {
                        break;
                    }
                }
            }
            0x2c => {
                let width = screen_width.max(two(at + 1)? + two(at + 5)?);
                let height = screen_height.max(two(at + 3)? + two(at + 7)?);
                return (width > 0 && height > 0).then_some((width, height));
            }
            _ => return None,
        }
    }
}

/// The seconds that a WAV or MP3 lasts at most.
pub(crate) fn sound_seconds(text: &str) -> Option<u64> {
    const RIFF: &str = "UklGR";
    /// An MP3 begins with tags (`ID3`) or a frame (eleven bits set).
    const MP3: [&str; 2] = ["SUQz", "//"];
    let data = data_of(text);
    let bytes = length(data.len()) / 4 * 3;
    let per_second = if data.starts_with(RIFF) {
        wav_bytes_per_second(&decode(data, SHORT_HEAD)?)?
    } else if MP3.iter().any(|start| data.starts_with(start)) {
        SLOWEST
    } else {
        return None;
    };
    Some(bytes.div_ceil(per_second))
}

/// What a WAV says of itself, or what follows from the rest of what it says, where
/// that is less: players go by either.
fn wav_bytes_per_second(head: &[u8]) -> Option<u64> {
    if head.get(8..16)? != b"WAVEfmt " {
        return None;
    }
    let two = |at: usize| {
        Some(u64::from(u16::from_le_bytes(
            head.get(at..at + 2)?.try_into().ok()?,
        )))
    };
    let four = |at: usize| {
        Some(u64::from(u32::from_le_bytes(
            head.get(at..at + 4)?.try_into().ok()?,
        )))
    };
    let (kind, channels, rate) = (two(20)?, two(22)?, four(24)?);
    let (said, bits) = (four(28)?, two(34)?);
    // Plain samples; what is compressed inside is not measured.
    let is_plain = matches!(kind, 1 | 3);
    let samples = rate * channels * bits / 8;
    (is_plain && samples.min(said) >= SLOWEST).then_some(samples.min(said))
}

/// What follows the comma of a `data:` address, else the text itself.
fn data_of(text: &str) -> &str {
    if !text.starts_with("data:") {
        return text;
    }
    let end = text.len().min(256);
    match memchr::memmem::find(&text.as_bytes()[..end], b";base64,") {
        Some(at) => &text[at + 8..],
        None => "",
    }
}

/// The first bytes, from up to `head` characters.
fn decode(data: &str, head: usize) -> Option<Vec<u8>> {
    let end = data.len().min(head) / 4 * 4;
    STANDARD.decode(data.as_bytes().get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend(width.to_be_bytes());
        png.extend(height.to_be_bytes());
        png.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
        png
    }

    fn jpeg(width: u16, height: u16, before: u16) -> Vec<u8> {
        let mut jpeg = vec![0xff, 0xd8];
        // What a camera writes of itself, a smaller picture in it.
        jpeg.extend([0xff, 0xe1]);
        jpeg.extend((before + 2).to_be_bytes());
        jpeg.extend(vec![0; usize::from(before)]);
        jpeg.extend([0xff, 0xc0, 0, 11, 8]);
        jpeg.extend(height.to_be_bytes());
        jpeg.extend(width.to_be_bytes());
        jpeg.extend([1, 1, 0x11, 0, 0xff, 0xda]);
        jpeg
    }

    fn webp(width: u32, height: u32) -> Vec<u8> {
        let mut webp = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
        webp.extend(&(width - 1).to_le_bytes()[..3]);
        webp.extend(&(height - 1).to_le_bytes()[..3]);
        webp.extend([0; 8]);
        webp
    }

    /// A screen of 640 by 480 with some colours, a comment, and a first picture there.
    fn gif(left: u16, top: u16, width: u16, height: u16) -> Vec<u8> {
        let mut gif = b"GIF89a\x80\x02\xe0\x01\x81\0\0".to_vec();
        gif.extend([0; 12]);
        gif.extend(b"!\xfe\x05,,,,,\x02!!\0");
        gif.push(b',');
        for number in [left, top, width, height] {
            gif.extend(number.to_le_bytes());
        }
        gif.extend([0; 20]);
        gif
    }

    fn wav(kind: u16, rate: u32, seconds: usize) -> Vec<u8> {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        wav.extend(kind.to_le_bytes());
        wav.extend(1u16.to_le_bytes());
        wav.extend(rate.to_le_bytes());
        wav.extend((rate * 2).to_le_bytes());
        wav.extend(2u16.to_le_bytes());
        wav.extend(16u16.to_le_bytes());
        wav.extend(b"data\0\0\0\0");
        wav.extend(vec![0; usize::try_from(rate).expect("small") * 2 * seconds]);
        wav
    }

    #[test]
    fn sizes_are_read_from_the_first_bytes() {
        for (kind, bytes) in [
            ("png", png(640, 480)),
            ("jpeg", jpeg(640, 480, 10)),
            ("jpeg", jpeg(640, 480, 65_000)),
            ("webp", webp(640, 480)),
            ("gif", gif(0, 0, 640, 480)),
            ("gif", gif(0, 0, 1, 1)),
        ] {
            let data = STANDARD.encode(bytes);
            assert_eq!(picture_size(&data), Some((640, 480)), "{kind}");
            let address = format!("data:image/{kind};base64,{data}");
            assert_eq!(picture_size(&address), Some((640, 480)), "{kind}");
            // Whatever the address says it is.
            let address = format!("data:image/gif;base64,{data}");
            assert_eq!(picture_size(&address), Some((640, 480)), "{kind}");
        }
        // What lies beyond its screen is seen too.
        let large = STANDARD.encode(gif(10, 20, 4_000, 3_000));
        assert_eq!(picture_size(&large), Some((4_010, 3_020)));
        let largest = STANDARD.encode(gif(0xffff, 0, 0xffff, 1));
        assert_eq!(picture_size(&largest), Some((2 * 0xffff, 480)));
        // A screen without a picture.
        let gif = STANDARD.encode(b"GIF89a\x01\0\x01\0\0\0\0");
        for unknown in [
            "",
            "https://example.com/a.png",
            "data:image/png,%89PNG",
            "iVBORw0KGgo",
            "iVBORw0KGgo!!!!",
            "/9j/4AAQ",
            &gif,
        ] {
            assert_eq!(picture_size(unknown), None, "{unknown}");
        }
        assert_eq!(picture_size(&STANDARD.encode(png(0, 5))), None);
    }

    #[test]
    fn sounds_are_measured_by_their_bytes() {
        let seconds = |bytes: &[u8]| sound_seconds(&STANDARD.encode(bytes));
        let heard = seconds(&wav(1, 16_000, 10)).expect("seconds");
        assert!((10..=11).contains(&heard), "{heard}");
        // A rate that no sound has would make hours of some bytes.
        assert_eq!(seconds(&wav(1, 4, 10)), None);
        // Compressed inside.
        assert_eq!(seconds(&wav(0x55, 16_000, 10)), None);
        assert_eq!(seconds(&[b"ID3".as_slice(), &[0; 5_997]].concat()), Some(6));
        assert_eq!(seconds(b"OggS and more"), None);
    }

    proptest! {
        #[test]
        fn whatever_follows_a_beginning_is_measured_or_not(
            kind in 0usize..5, bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0usize..500,
        ) {
            let beginnings: [&[u8]; 5] = [
                b"GIF89a",
                b"\x89PNG\r\n\x1a\n",
                b"\xff\xd8\xff",
                b"RIFF\0\0\0\0WEBPVP8",
                b"RIFF\0\0\0\0WAVEfmt ",
            ];
            let data = STANDARD.encode([beginnings[kind], &bytes].concat());
            let data = &data[..cut.min(data.len())];
            let _ = picture_size(data);
            if let Some(seconds) = sound_seconds(data) {
                prop_assert!(seconds <= length(data.len()));
            }
        }
    }
}
