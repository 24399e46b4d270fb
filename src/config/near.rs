//! Did you mean: the closest of the words that exist.

/// The candidate that `word` is most likely a misspelling of.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_a_stranger_is_not() {
        assert_eq!(nearest("concurency", ["concurrency", "grace"]), Some("concurrency"));
        assert_eq!(nearest("helo", ["hello", "yellow"]), Some("hello"));
        assert_eq!(nearest("zzz", ["hello", "grace"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
