//! The nearest known word to one that is not known.
//!
//! Stage: engine.

/// Similarity below which a suggestion would only confuse; Jaro-Winkler, 0 to 1, as the command line uses it.
const SIMILAR_MIN: f64 = 0.8;

/// `unknown key "compresion"; did you mean "compression"? (known keys: …)`
pub(super) fn unknown_key(found: &str, known: impl Iterator<Item = &'static str>) -> String {
    let known: Vec<&str> = known.collect();
    let hint = nearest(found, &known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
    format!("unknown key {found:?}{hint} (known keys: {})", known.join(", "))
}

/// The most similar of `known`, letter case apart, if it is similar enough.
pub(super) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |word: &str| strsim::jaro_winkler(&found.to_lowercase(), &word.to_lowercase());
    known
        .iter()
        .map(|word| (score(word), *word))
        .filter(|(score, _)| *score >= SIMILAR_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[track_caller]
    fn check(found: &str, known: &[&str], expect: Option<&str>) {
        assert_eq!(nearest(found, known), expect, "{found:?}");
    }

    // Scenario: misspelt words, and one that resembles nothing.
    // Guarantees: the word that was meant is found whatever its case; nothing far-fetched is offered.
    #[test]
    fn the_nearest_word_is_found() {
        let keys = ["compression", "endpoint", "timeout", "tls"];
        check("compresion", &keys, Some("compression"));
        check("Endpoint", &keys, Some("endpoint"));
        check("time_out", &keys, Some("timeout"));
        check("hostnames", &keys, None);
        check("", &keys, None);
        check("x", &[], None);
    }
}
