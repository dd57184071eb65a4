//! Writes the committed corpus anew: `cargo run --bin seeds` in this directory.

use ringway;

#[path = "../../tests/support/adversarial.rs"]
mod adversarial;
#[path = "../json.rs"]
mod json;
#[path = "../seeds.rs"]
mod seeds;
#[path = "../../tests/support/traces.rs"]
mod traces;

fn main() -> std::io::Result<()> {
    for (target, name, bytes) in seeds::seeds() {
        write(target, &format!("{name}.bin"), &bytes)?;
    }
    for (name, text) in json::seeds() {
        write("json", &format!("{name}.json"), &text)?;
    }
    Ok(())
}

fn write(target: &str, file: &str, bytes: &[u8]) -> std::io::Result<()> {
    let directory = format!("{}/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(&directory)?;
    std::fs::write(format!("{directory}/{file}"), bytes)
}
