//! The checks of the fuzz targets over the committed corpus, so that a plain `cargo test` runs them.

use super::{bodies, seeds::seeds, signals};

/// Runs one input through the target it was made for, and through the others too.
fn run(bytes: &[u8]) {
    bodies::split_traces(bytes);
    bodies::wire(bytes);
    signals::split_logs(bytes);
    signals::split_metrics(bytes);
}

// Scenario: every input of the corpus, and the recipe that the corpus was written with.
// Guarantees: what the fuzzer checks holds; the committed files are what the recipe makes, so none is missing.
#[test]
fn corpus_passes_the_fuzz_targets() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files = 0;
    for target in ["split_traces", "split_logs", "split_metrics", "wire"] {
        for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
            let path = entry.unwrap().path();
            files += usize::from(path.extension().is_some_and(|extension| extension == "bin"));
            run(&std::fs::read(path).unwrap());
        }
    }
    let recipe = seeds();
    assert_eq!(files, recipe.len());
    for (target, name, bytes) in recipe {
        let file = std::fs::read(corpus.join(target).join(name).with_extension("bin")).unwrap();
        assert_eq!(file, bytes, "{target}/{name}: write the corpus anew");
    }
}

// Scenario: each input cut at every length, and with each single byte changed in three ways.
// Guarantees: nothing panics and the invariants hold on the way from valid to malformed.
#[test]
fn damaged_corpus_passes_the_fuzz_targets() {
    for (_, _, bytes) in seeds() {
        // The long ones are sampled: the fuzzer goes on where this stops.
        let step = bytes.len().div_ceil(120).max(1);
        for at in (0..bytes.len()).step_by(step) {
            run(&bytes[..at]);
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                run(&damaged);
            }
        }
    }
}
