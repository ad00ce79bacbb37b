//! The window: draws what is to be shown, and sends wishes. Nothing here waits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eframe::egui::{self, Align, CentralPanel, Frame, Layout, Margin, RichText, ScrollArea, Ui};

use crate::keeper::{Keeper, Wish};
use crate::looks;
use crate::shown::{self, Login, Shown};

/// How often the bar moves.
const STEP: Duration = Duration::from_millis(250);

pub(crate) struct Window {
    keeper: Keeper,
}

impl Window {
    pub(crate) fn new(keeper: Keeper) -> Self {
        Self { keeper }
    }

    fn login(&self, ui: &mut Ui, shown: &Shown, login: &Login) {
        looks::card(ui, |ui| {
            ui.horizontal(|ui| {
                looks::badge(ui, &login.account);
                ui.vertical(|ui| {
                    ui.spacing_mut().item_spacing.y = 2.0;
                    ui.label(RichText::new(&login.account).size(17.0).strong());
                    looks::faint(ui, format!("{}, kept in {}", login.issuer, login.store));
                });
            });
        });
        looks::card(ui, |ui| {
            ui.horizontal(|ui| {
                looks::title(ui, "Access token");
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    looks::faint(ui, format!("generation {}", login.generation));
                });
            });
            match login.token {
                Some(life) => {
                    let (share, seconds) = shown::left(life, now());
                    looks::life(ui, share);
                    ui.label(match seconds {
                        0 => "expired; the next request renews it".to_owned(),
                        left => format!("{left} s left"),
                    });
                }
                None => {
                    ui.label("valid until the server says otherwise");
                }
            }
            if let Some(trouble) = login.trouble {
                looks::alarm(ui, trouble);
            }
            ui.add_space(2.0);
            ui.horizontal(|ui| {
                let idle = shown.busy.is_none();
                let main = match login.trouble {
                    Some(_) => ("Log in again", Wish::LogIn),
                    None => ("Call the API", Wish::AskApi),
                };
                self.button(ui, idle, looks::main_button(main.0), main.1);
                self.button(ui, idle, egui::Button::new("Refresh now"), Wish::Refresh);
                self.button(ui, idle, egui::Button::new("Log out"), Wish::LogOut);
            });
        });
        if let Some(answer) = &shown.answer {
            looks::card(ui, |ui| {
                looks::title(ui, "The API's answer");
                let answer = RichText::new(answer).monospace();
                ScrollArea::vertical()
                    .id_salt("answer")
                    .max_height(110.0)
                    .show(ui, |ui| ui.label(answer));
            });
        }
    }

    fn nobody(&self, ui: &mut Ui, shown: &Shown) {
        looks::card(ui, |ui| {
            ui.label(RichText::new("Nobody is logged in").size(17.0).strong());
            looks::faint(ui, "One login serves every window of this app.");
            ui.add_space(4.0);
            let idle = shown.busy.is_none();
            self.button(ui, idle, looks::main_button("Log in"), Wish::LogIn);
        });
    }

    fn button(&self, ui: &mut Ui, enabled: bool, button: egui::Button<'_>, wish: Wish) {
        if ui.add_enabled(enabled, button).clicked() {
            self.keeper.wish(wish);
        }
    }

    fn busy(&self, ui: &mut Ui, shown: &Shown) {
        if let Some(busy) = shown.busy {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.label(busy);
                if shown.logging_in && ui.button("Cancel").clicked() {
                    self.keeper.wish(Wish::GiveUp);
                }
            });
        }
        if let Some(failure) = &shown.failure {
            looks::alarm(ui, failure);
        }
    }
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        let shown = self.keeper.shown();
        let frame = Frame::central_panel(ui.style()).inner_margin(Margin::same(16));
        CentralPanel::default().frame(frame).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 10.0;
            match &shown.login {
                Some(login) => self.login(ui, &shown, login),
                None => self.nobody(ui, &shown),
            }
            self.busy(ui, &shown);
            looks::title(ui, "What happened, in all windows");
            events(ui, &shown);
        });
        ui.ctx().request_repaint_after(STEP);
    }
}

fn events(ui: &mut Ui, shown: &Shown) {
    let list = ScrollArea::vertical().id_salt("events").auto_shrink(false);
    list.show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        for line in &shown.lines {
            ui.horizontal(|ui| {
                looks::dot(ui, line.own);
                looks::faint(ui, line.time());
                ui.label(&line.text);
            });
        }
    });
}

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
