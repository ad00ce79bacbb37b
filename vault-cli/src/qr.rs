//! A QR code for the terminal, two modules high in each character, so that a
//! phone can open an address instead of a person who types it.

use clap::builder::styling::{AnsiColor, Color, Style};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// White on black whatever the terminal's colours are: the light modules and
/// the margin are drawn, and a camera wants them light.
const COLOURS: Style = AnsiColor::BrightWhite
    .on_default()
    .bg_color(Some(Color::Ansi(AnsiColor::Black)));

/// The widest picture that is shown, in columns. A longer address is of no use
/// to a camera either.
const WIDEST: usize = 78;

/// Draws the code of an address; `None` where it would not fit.
pub(crate) fn picture(address: &str) -> Option<String> {
    let drawn = draw(address)?;
    let lines = drawn
        .lines()
        .map(|line| format!("{COLOURS}{line}{COLOURS:#}"));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

fn draw(address: &str) -> Option<String> {
    let code = QrCode::new(address).ok()?;
    // Four modules of margin on each side.
    if code.width() + 8 > WIDEST {
        return None;
    }
    let image = code.render::<Dense1x2>();
    Some(
        { image }
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .build(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_is_half_a_character_light_on_dark_with_a_margin() {
        let address = "https://login.example/device?user_code=WDJB-MJHT";
        let code = QrCode::new(address).unwrap();
        let (width, dark) = (code.width(), code.to_colors());
        let drawn = draw(address).unwrap();
        let rows: Vec<Vec<char>> = drawn.lines().map(|line| line.chars().collect()).collect();
        assert_eq!(rows.len(), (width + 8).div_ceil(2));
        for (y, x) in (0..width + 8).flat_map(|y| (0..width + 8).map(move |x| (y, x))) {
            let light = match rows[y / 2][x] {
                '\u{2588}' => true,
                '\u{2580}' => y % 2 == 0,
                '\u{2584}' => y % 2 == 1,
                _ => false,
            };
            let inside = (4..width + 4).contains(&y) && (4..width + 4).contains(&x);
            let expected = !inside || dark[(y - 4) * width + x - 4] == qrcode::Color::Light;
            assert_eq!(light, expected, "{x},{y}");
        }
    }

    #[test]
    fn what_does_not_fit_the_terminal_is_not_shown() {
        assert!(picture(&"x".repeat(2000)).is_none());
        let wide = picture("https://login.example/device?user_code=WDJB-MJHT").unwrap();
        assert!(
            wide.lines().all(|line| line.starts_with('\u{1b}')),
            "coloured"
        );
    }
}
