//! Colours, sizes and the pieces that the window is made of.

use eframe::egui::{
    Button, Color32, Context, CornerRadius, FontFamily, FontId, Frame, Margin, ProgressBar,
    Response, RichText, Stroke, TextStyle, Theme, Ui, Vec2,
};

const GROUND: Color32 = Color32::from_rgb(0x12, 0x16, 0x1d);
const CARD: Color32 = Color32::from_rgb(0x1b, 0x21, 0x2b);
const EDGE: Color32 = Color32::from_rgb(0x2b, 0x33, 0x40);
const TEXT: Color32 = Color32::from_rgb(0xe4, 0xe8, 0xee);
const FAINT: Color32 = Color32::from_rgb(0x8d, 0x98, 0xa8);
const ACCENT: Color32 = Color32::from_rgb(0x35, 0xb3, 0x9a);
const ENDING: Color32 = Color32::from_rgb(0xe0, 0x8e, 0x45);
const ALARM: Color32 = Color32::from_rgb(0xf0, 0x7f, 0x7f);

const ROUND: CornerRadius = CornerRadius::same(8);

pub(crate) fn apply(context: &Context) {
    context.set_theme(Theme::Dark);
    context.all_styles_mut(|style| {
        let sized = |size| FontId::new(size, FontFamily::Proportional);
        style.text_styles.insert(TextStyle::Body, sized(14.0));
        style.text_styles.insert(TextStyle::Button, sized(14.0));
        style.text_styles.insert(TextStyle::Small, sized(12.0));
        style.text_styles.insert(TextStyle::Heading, sized(20.0));
        style
            .text_styles
            .insert(TextStyle::Monospace, FontId::monospace(12.5));
        style.spacing.item_spacing = Vec2::new(8.0, 7.0);
        style.spacing.button_padding = Vec2::new(14.0, 7.0);
        let visuals = &mut style.visuals;
        visuals.panel_fill = GROUND;
        visuals.override_text_color = Some(TEXT);
        visuals.weak_text_color = Some(FAINT);
        visuals.extreme_bg_color = GROUND;
        for widget in [
            &mut visuals.widgets.inactive,
            &mut visuals.widgets.hovered,
            &mut visuals.widgets.active,
        ] {
            widget.corner_radius = ROUND;
            widget.expansion = 0.0;
        }
        visuals.widgets.inactive.weak_bg_fill = EDGE;
    });
}

/// A part of the window.
pub(crate) fn card<T>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> T) -> T {
    let frame = Frame::new()
        .fill(CARD)
        .stroke(Stroke::new(1.0, EDGE))
        .corner_radius(CornerRadius::same(12))
        .inner_margin(Margin::same(14));
    let shown = frame.show(ui, |ui| {
        ui.set_min_width(ui.available_width());
        contents(ui)
    });
    shown.inner
}

/// What a card is about.
pub(crate) fn title(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).small().color(FAINT));
}

pub(crate) fn faint(ui: &mut Ui, text: impl Into<String>) -> Response {
    ui.label(RichText::new(text).small().color(FAINT))
}

pub(crate) fn alarm(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).color(ALARM));
}

/// The button that a person is most likely to want.
pub(crate) fn main_button(text: &str) -> Button<'_> {
    Button::new(RichText::new(text).strong().color(GROUND)).fill(ACCENT)
}

/// The bar of a life: full at the beginning, and another colour near its end.
pub(crate) fn life(ui: &mut Ui, share: f32) {
    let colour = if share < 0.2 { ENDING } else { ACCENT };
    ui.add(ProgressBar::new(share).fill(colour).desired_height(8.0));
}

/// A round sign with the first letter of a name.
pub(crate) fn badge(ui: &mut Ui, name: &str) {
    let (place, painter) = ui.allocate_painter(Vec2::splat(40.0), eframe::egui::Sense::hover());
    let middle = place.rect.center();
    painter.circle_filled(middle, 20.0, EDGE);
    let letter = name
        .chars()
        .next()
        .unwrap_or('?')
        .to_uppercase()
        .to_string();
    let anchor = eframe::egui::Align2::CENTER_CENTER;
    painter.text(middle, anchor, letter, FontId::proportional(19.0), ACCENT);
}

/// A dot before a line: filled for what this window did, hollow for others.
pub(crate) fn dot(ui: &mut Ui, own: bool) {
    let size = Vec2::new(10.0, 14.0);
    let (place, painter) = ui.allocate_painter(size, eframe::egui::Sense::hover());
    let (middle, radius) = (place.rect.center(), 3.25);
    if own {
        painter.circle_filled(middle, radius, ACCENT);
    } else {
        painter.circle_stroke(middle, radius, Stroke::new(1.5, ENDING));
    }
}
