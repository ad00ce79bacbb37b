//! What was searched and what was found, as a table.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::search::Row;

/// The table, with each hit below it. Shows no secret: where it lies and in which form.
#[must_use]
pub fn as_table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["place", "outputs", "bytes", "hits", "left out: its purpose"]);
    for column in 1..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut hits = String::new();
    for row in rows.iter().filter(|row| row.sources > 0) {
        let purpose: Vec<String> = row
            .place
            .purpose()
            .iter()
            .map(|kind| format!("{kind:?}"))
            .collect();
        table.add_row([
            row.place.title().to_owned(),
            row.sources.to_string(),
            row.bytes.to_string(),
            row.hits.len().to_string(),
            purpose.join(", "),
        ]);
        for hit in row.hits.iter().take(10) {
            let (place, source) = (row.place.title(), hit.source.display());
            hits.push_str(&format!(
                "found: {place}: {:?}, {}, at byte {} of {source}\n",
                hit.kind, hit.form, hit.at
            ));
        }
    }
    format!("{table}\n{hits}")
}
