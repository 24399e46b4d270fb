//! Sizes as people write them.

/// Reads `1000000`, `512KiB`, `256MiB`, `1GiB`, `10MB` or `1.5G`: a bare number is bytes, `K`, `M`, `G`, `T` and `KiB` …
/// are powers of 1024, `KB`, `MB` … of 1000. The error is a fragment for people.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "takes a size such as 1000000, 256MiB or 1GiB".to_owned();
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let (thousand, power) = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => (1024.0_f64, 0),
        "k" | "kib" => (1024.0, 1),
        "m" | "mib" => (1024.0, 2),
        "g" | "gib" => (1024.0, 3),
        "t" | "tib" => (1024.0, 4),
        "kb" => (1000.0, 1),
        "mb" => (1000.0, 2),
        "gb" => (1000.0, 3),
        "tb" => (1000.0, 4),
        _ => return Err(wrong()),
    };
    let number = number.trim();
    if number.is_empty() || !number.bytes().all(|c| c.is_ascii_digit() || c == b'.') {
        return Err(wrong());
    }
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * thousand.powi(power);
    // Above 2^53 a number of bytes is no longer exact, and no file is that long.
    if bytes > 9e15 {
        return Err("is too large".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: from 0 to 9e15")]
    Ok(bytes as u64)
}

/// A size for people, as [`parse_size`] reads it: `2GiB`, `2.3GiB`, `1KiB`, `17B`.
pub fn show_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = units.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return format!("{bytes}B");
    };
    let tenths = (u128::from(bytes) * 10) >> shift;
    match tenths % 10 {
        0 => format!("{}{unit}", tenths / 10),
        tenth => format!("{}.{tenth}{unit}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_they_are_read() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (64 << 20, "64MiB"),
            (3 << 29, "1.5GiB"),
            ((2 << 30) + 5, "2GiB"),
            (2_470_000_000, "2.3GiB"),
            (u64::MAX, "16777215.9TiB"),
        ] {
            assert_eq!(show_size(bytes), text);
        }
        assert_eq!(parse_size(&show_size(3 << 29)), Ok(3 << 29));
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("64k", 64 << 10),
            ("256MiB", 256 << 20),
            ("256 M", 256 << 20),
            ("10MB", 10_000_000),
            ("1.5GiB", 3 << 29),
            ("1tb", 1_000_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1 blob", "1e9", "NaN", "1.2.3k", "99999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
