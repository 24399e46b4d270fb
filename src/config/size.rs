//! Sizes as people write them.

/// Reads `64MiB`, `1.5G`, `500k` or a bare number of bytes; units are powers of 1024, as `df -h` counts. The error is a
/// fragment for people.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "takes a size such as 64MiB, 1G or a number of bytes".to_owned();
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let number = number.trim();
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) && text.len() < 19;
    if !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let too_large = || "is too large".to_owned();
    let unit: u64 = 1 << shift;
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let tenths = part.bytes().next().map_or(0, |digit| u64::from(digit - b'0'));
    whole.checked_mul(unit).and_then(|it| it.checked_add(unit / 10 * tenths)).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("64M", 64 << 20),
            ("64 mb", 64 << 20),
            ("1G", 1 << 30),
            ("1.5k", 1024 + 510),
            ("4096", 4096),
            ("0", 0),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "M", "-1M", "1X", "1.M", ".5M", "1e3", "99999999999999999999", "9999999999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
