//! Tables for people: columns without lines, wrapped where the terminal is
//! narrow.

use comfy_table::{ContentArrangement, Table, presets};

use crate::output::visible;

/// No table is made narrower.
const NARROWEST: u16 = 20;

/// Lays a table out; its text ends with a line end.
pub(crate) fn plain<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if table.width().is_some_and(|width| width < NARROWEST) {
        // A terminal that does not know its size says 0.
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    for row in rows {
        table.add_row(row.map(|cell| visible(&cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_nothing_moves_the_cursor() {
        let rows = [["work", "b\u{1b}[2Jb"], ["default", "x"]].map(|row| row.map(str::to_owned));
        let table = plain(["PROFILE", "ACCOUNT"], rows.into_iter());
        assert_eq!(
            table,
            "PROFILE  ACCOUNT\nwork     b\u{fffd}[2Jb\ndefault  x\n"
        );
    }
}
