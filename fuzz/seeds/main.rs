//! Writes the committed corpus anew: `cargo run --bin seeds` in this directory.

#[path = "../../tests/support/adversarial.rs"]
mod adversarial;
#[path = "../seeds.rs"]
mod seeds;
#[path = "../../tests/support/traces.rs"]
mod traces;

fn main() -> std::io::Result<()> {
    for (target, name, bytes) in seeds::seeds() {
        let directory = format!("{}/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir_all(&directory)?;
        std::fs::write(format!("{directory}/{name}.bin"), bytes)?;
    }
    Ok(())
}
