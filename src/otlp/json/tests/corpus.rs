//! The checks of the fuzz target over its committed corpus, so that a plain `cargo test` runs them.

use super::fuzz::{json, seeds};

// Scenario: every input of the corpus, and the recipe that the corpus was written with.
// Guarantees: what the fuzzer checks holds; the committed files are what the recipe makes, so none is missing.
#[test]
fn corpus_passes_the_fuzz_target() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/json");
    let mut files = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        files += usize::from(path.extension().is_some_and(|extension| extension == "json"));
        json(&std::fs::read(path).unwrap());
    }
    assert_eq!(files, seeds().len());
    for (name, text) in seeds() {
        let file = std::fs::read(corpus.join(name).with_extension("json")).unwrap();
        assert_eq!(file, text, "{name}: write the corpus anew");
    }
}

// Scenario: each input cut at every length, and with each single byte changed in three ways.
// Guarantees: nothing panics and the invariants hold on the way from valid to malformed.
#[test]
fn damaged_corpus_passes_the_fuzz_target() {
    for (_, text) in seeds() {
        // The long ones are sampled: the fuzzer goes on where this stops.
        let step = text.len().div_ceil(300).max(1);
        for at in (0..text.len()).step_by(step) {
            json(&text[..at]);
            for byte in [b'"', b'0', text[at] ^ 0x80] {
                let mut damaged = text.clone();
                damaged[at] = byte;
                json(&damaged);
            }
        }
    }
}
