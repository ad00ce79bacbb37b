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
    lay_out(header.to_vec(), rows.map(Vec::from))
}

/// The same without these columns.
pub(crate) fn without<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    left_out: &[Option<usize>],
) -> String {
    let kept = |at: usize| !left_out.contains(&Some(at));
    let header = header.into_iter().enumerate();
    let header = header.filter(|(at, _)| kept(*at)).map(|(_, name)| name);
    let rows = rows.map(|row| {
        let cells = row.into_iter().enumerate();
        let cells = cells.filter(|(at, _)| kept(*at));
        cells.map(|(_, cell)| cell).collect()
    });
    lay_out(header.collect(), rows)
}

fn lay_out(header: Vec<&str>, rows: impl Iterator<Item = Vec<String>>) -> String {
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
        table.add_row(row.iter().map(|cell| visible(cell)));
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
    fn wide_characters_take_their_two_columns_and_a_column_can_be_left_out() {
        let rows = [["a", "東京", "x"], ["b", "Rom", "y"]].map(|row| row.map(str::to_owned));
        let table = without(["A", "CITY", "Z"], rows.into_iter(), &[Some(0), None]);
        assert_eq!(table, "CITY  Z\n東京  x\nRom   y\n");
    }

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
