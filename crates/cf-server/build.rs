//! The web part is embedded from `web/dist`, which `npm run build` fills. An
//! empty folder keeps plain `cargo build` working without Node.

fn main() {
    let dist = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/dist");
    if let Err(error) = std::fs::create_dir_all(dist) {
        println!("cargo::warning=web/dist cannot be created: {error}");
    }
    println!("cargo::rerun-if-changed={dist}");
}
