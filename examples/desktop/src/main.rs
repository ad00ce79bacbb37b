//! A desktop app that logs in, shows the login, and shares it with every other
//! process of itself.
//!
//! ```text
//! desktop --issuer URL --client-id ID --api URL
//! ```
//!
//! Start it twice: what one window does with the login shows in the other, and
//! of all windows one refreshes. An app of yours has the issuer, the client and
//! the API as constants.
//!
//! The window draws what it is given and sends wishes; all that can take time is
//! done by the [`keeper`] on a thread of its own.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod keeper;
mod looks;
mod shown;
mod window;

use clap::Parser;
use eframe::egui::ViewportBuilder;
use url::Url;
use vault_core::ZeroizingAllocator;

use crate::keeper::Keeper;
use crate::window::Window;

/// Wipes what libraries copy of a token while they work.
#[global_allocator]
static ALLOCATOR: ZeroizingAllocator = ZeroizingAllocator::new();

/// The name on the window.
const NAME: &str = "Token vault";

/// Shows a login, and asks an API with it.
#[derive(Clone, Parser)]
struct Arguments {
    /// The authorization server
    #[arg(long)]
    issuer: String,
    /// What this program is registered as there
    #[arg(long)]
    client_id: String,
    /// The address to ask
    #[arg(long)]
    api: Url,
}

fn main() -> eframe::Result {
    let arguments = Arguments::parse();
    let size = [460.0, 580.0];
    let options = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_inner_size(size)
            .with_min_inner_size([360.0, 460.0])
            .with_app_id("com.example.desktop"),
        ..Default::default()
    };
    let start = move |creation: &eframe::CreationContext<'_>| {
        looks::apply(&creation.egui_ctx);
        let context = creation.egui_ctx.clone();
        let keeper = Keeper::start(arguments, move || context.request_repaint())?;
        Ok(Box::new(Window::new(keeper)) as Box<dyn eframe::App>)
    };
    eframe::run_native(NAME, options, Box::new(start))
}
