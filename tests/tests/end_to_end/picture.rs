//! A picture of a terminal's screen, for the documents.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// The size of a cell in the picture.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;

const MARGIN: f64 = 12.0;

/// The screen as SVG, dark, each run of equal cells where it stands.
pub(crate) fn svg(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let width = f64::from(columns) * WIDTH + 2.0 * MARGIN;
    let height = f64::from(rows) * HEIGHT + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"monospace\" font-size=\"14\" xml:space=\"preserve\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#14181d\"/>\n"
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let Some(first) = screen.cell(row, column) else {
                break;
            };
            let start = column;
            let mut text = String::new();
            while let Some(cell) = screen.cell(row, column)
                && column < columns
                && look(cell) == look(first)
            {
                if !cell.is_wide_continuation() {
                    text.push_str(if cell.has_contents() {
                        cell.contents()
                    } else {
                        " "
                    });
                }
                column += 1;
            }
            if text.trim().is_empty() {
                continue;
            }
            let (fill, weight, opacity) = look(first);
            let x = MARGIN + f64::from(start) * WIDTH;
            let y = MARGIN + f64::from(row) * HEIGHT + 13.0;
            let length = f64::from(column - start) * WIDTH;
            let text = text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" fill=\"{fill}\" \
                 font-weight=\"{weight}\" opacity=\"{opacity}\">{text}</text>"
            )
            .unwrap();
        }
    }
    svg + "</svg>\n"
}

/// Colour, weight and opacity of a cell.
fn look(cell: &Cell) -> (&'static str, &'static str, &'static str) {
    let colour = match cell.fgcolor() {
        Color::Idx(1 | 9) => "#f2777a",
        Color::Idx(2 | 10) => "#8fd18f",
        Color::Idx(3 | 11) => "#f5d76e",
        Color::Idx(6 | 14) => "#7fd1de",
        _ => "#e4e8ec",
    };
    let weight = if cell.bold() { "bold" } else { "normal" };
    (colour, weight, if cell.dim() { "0.6" } else { "1" })
}
