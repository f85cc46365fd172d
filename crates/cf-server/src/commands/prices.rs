//! `cloudfreedom prices import`: shows what a new price list changes, and takes it.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use cf_identity::{Actor, AuditEntry};
use cf_ledger::{FieldChange, Import, ModelName};
use serde_json::json;

use super::Desk;

/// Largest file that is read.
const MAX_FILE: u64 = 16 << 20;

/// Shows the difference; takes the list where that is confirmed.
pub(super) async fn import(
    desk: &Desk,
    file: Option<&Path>,
    effective: &str,
    yes: bool,
) -> Result<ExitCode, String> {
    let text = file.map(read).transpose()?;
    let import = cf_ledger::propose(&desk.db, &desk.clock, text.as_deref(), effective)
        .await
        .map_err(|e| e.to_string())?;
    show(&import);
    if import.is_empty() {
        eprintln!("The price list changes nothing.");
        return Ok(ExitCode::SUCCESS);
    }
    if !yes && !confirmed()? {
        eprintln!("Nothing was taken. Run it again with --yes to take this price list.");
        return Ok(ExitCode::SUCCESS);
    }
    let text = |e: cf_base::Error| e.to_string();
    let mut tx = desk.db.begin().await.map_err(|e| e.to_string())?;
    let taken = cf_ledger::take(
        &mut tx,
        &import,
        &import.hash,
        "cli",
        &desk.clock,
        &desk.random,
    )
    .await
    .map_err(text)?;
    let entry = AuditEntry {
        actor: Actor::command(),
        action: "import",
        collection: "price_lists",
        record_id: taken.as_str(),
        tenant_id: None,
        changes: json!({
            "effective": import.effective,
            "added": import.added.len(),
            "changed": import.changed.len(),
            "removed": import.removed.len(),
        }),
    };
    desk.identity.audit(&mut tx, entry).await.map_err(text)?;
    tx.commit().await.map_err(|e| e.to_string())?;
    eprintln!("Taken. It holds from {} on.", import.effective);
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<String, String> {
    let cannot = |e: std::io::Error| format!("{} cannot be read: {e}", file.display());
    if std::fs::metadata(file).map_err(cannot)?.len() > MAX_FILE {
        return Err(format!(
            "{} is larger than {} MiB",
            file.display(),
            MAX_FILE >> 20
        ));
    }
    std::fs::read_to_string(file).map_err(cannot)
}

/// Asks where somebody can answer.
fn confirmed() -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("Take this price list? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|e| e.to_string())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[allow(clippy::print_stdout)] // the command's result
fn show(import: &Import) {
    for model in &import.added {
        println!("+ {}  {}", name(model), prices(model));
    }
    for model in &import.changed {
        let fields: Vec<String> = model.fields.iter().map(change).collect();
        let place = place(&model.region, &model.variant);
        println!(
            "~ {}/{}{place}  {}",
            model.provider,
            model.model,
            fields.join(", ")
        );
    }
    for model in &import.removed {
        println!("- {}", name(model));
    }
    println!(
        "{} new, {} changed, {} gone, {} as before; from {} on",
        import.added.len(),
        import.changed.len(),
        import.removed.len(),
        import.unchanged,
        import.effective
    );
}

fn name(model: &ModelName) -> String {
    let place = place(&model.region, &model.variant);
    format!("{}/{}{place}", model.provider, model.model)
}

fn place(region: &str, variant: &str) -> String {
    [region, variant]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| format!(" ({text})"))
        .collect()
}

fn prices(model: &ModelName) -> String {
    let prices = model
        .prices
        .iter()
        .map(|(name, price)| format!("{name} {price}"));
    prices.collect::<Vec<_>>().join(", ")
}

fn change(field: &FieldChange) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
    format!(
        "{} {} -> {}",
        field.name,
        or_none(&field.old),
        or_none(&field.new)
    )
}
