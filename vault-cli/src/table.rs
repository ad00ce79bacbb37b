//! Tables for people: columns without lines, wrapped where the terminal is
//! narrow. Where it is so narrow that not even the columns' names fit, each row
//! is a paragraph with a line for each column.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use crate::output::visible;

/// No table is made narrower.
const NARROWEST: u16 = 20;

/// Between two columns.
const GAP: u16 = 2;

/// Lays a table out; its text ends with a line end.
pub(crate) fn plain<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    lay_out(&header, rows.map(Vec::from), Table::new().width())
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
    lay_out(&header.collect::<Vec<_>>(), rows, Table::new().width())
}

/// `width` is the terminal's; `None` where the text goes elsewhere.
fn lay_out(header: &[&str], rows: impl Iterator<Item = Vec<String>>, width: Option<u16>) -> String {
    // A terminal that does not know its size says 0.
    let width = width.filter(|width| *width >= NARROWEST);
    let names: usize = header
        .iter()
        .map(|name| name.len() + usize::from(GAP))
        .sum();
    match width {
        Some(width) if usize::from(width) < names => {
            let paragraph = |row: Vec<String>| {
                let lines = header.iter().map(|name| (*name).to_owned()).zip(row);
                aligned(
                    None,
                    lines.map(|(name, cell)| vec![name, cell]),
                    Some(width),
                )
            };
            rows.map(paragraph).collect::<Vec<_>>().join("\n")
        }
        width => aligned(Some(header), rows, width),
    }
}

fn aligned(
    header: Option<&[&str]>,
    rows: impl Iterator<Item = Vec<String>>,
    width: Option<u16>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    match width {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    if let Some(header) = header {
        table.set_header(header.iter().copied());
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| visible(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    // The names of a paragraph's lines are not wrapped.
    if let (None, Some(names)) = (header, table.column_mut(0)) {
        names.set_constraint(ColumnConstraint::ContentWidth);
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

    fn rows() -> impl Iterator<Item = Vec<String>> {
        let rows = [["work", "bob@example.com"], ["default", "東京"]];
        rows.into_iter().map(|row| row.map(str::to_owned).to_vec())
    }

    #[test]
    fn a_narrow_table_wraps_and_one_too_narrow_for_its_header_is_paragraphs() {
        let wide = lay_out(&["PROFILE", "THE ACCOUNT"], rows(), Some(22));
        assert_eq!(
            wide,
            "PROFILE  THE ACCOUNT\nwork     bob@example\n         .com\ndefault  東京\n"
        );
        let narrow = lay_out(&["PROFILE", "THE ACCOUNT"], rows(), Some(20));
        assert_eq!(
            narrow,
            "PROFILE      work\nTHE ACCOUNT  bob@e\n             xampl\n             e.com\n\n\
             PROFILE      defau\n             lt\nTHE ACCOUNT  東京\n"
        );
        let nowhere = lay_out(&["PROFILE", "THE ACCOUNT"], rows(), Some(0));
        assert_eq!(nowhere, lay_out(&["PROFILE", "THE ACCOUNT"], rows(), None));
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
