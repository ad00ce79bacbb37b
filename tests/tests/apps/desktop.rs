//! The desktop app: two processes of it on one login.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::machine::{Machine, arguments, eventually};
use crate::reader::{Reader, Window};
use crate::running::Running;
use crate::screen::Screen;

/// The size of a window when it opens.
const SIZE: (u32, u32) = (460, 580);

fn server() -> AuthorizationServer {
    AuthorizationServer::start(ServerConfig {
        user_info: vec![
            ("email".to_owned(), "ada@example.com".into()),
            ("name".to_owned(), "Ada Example".into()),
        ],
        // So long that nothing is renewed ahead before that is looked at; for a picture so that the
        // bar moves.
        access_token_lifetime: Duration::from_secs(match wanted_picture() {
            Some(_) => 60,
            None => 600,
        }),
        ..ServerConfig::default()
    })
}

fn open(machine: &Machine, server: &AuthorizationServer, screen: &Screen) -> Running {
    let mut command = machine.app("desktop");
    command
        .args(arguments(server))
        .env("DISPLAY", screen.name())
        .env("LIBGL_ALWAYS_SOFTWARE", "1");
    Running::start(command)
}

/// How many seconds the access token has left, as the window says.
fn seconds_left(window: &Window<'_>) -> u64 {
    let text = window.shows(" s left");
    text.trim_end_matches(" s left").parse().unwrap()
}

/// The generation that the window shows.
fn generation(window: &Window<'_>) -> u64 {
    let texts = window.texts();
    let generation = texts
        .iter()
        .find_map(|text| text.strip_prefix("generation "));
    generation.map_or(0, |number| number.parse().unwrap())
}

#[test]
fn two_windows_share_one_login_and_show_what_the_other_does() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let server = server();
    let reader = Reader::new();
    let screens = [(); 2].map(|()| Screen::new(SIZE.0, SIZE.1));
    let [one, other] = [0, 1].map(|index| open(&machine, &server, &screens[index]));
    let (left, right) = (reader.window(one.id()), reader.window(other.id()));
    left.shows("Nobody is logged in");
    right.shows("Nobody is logged in");

    // The person goes away, and the window has not waited for it.
    left.press("Log in");
    left.shows("Waiting for your browser");
    machine.page();
    left.press("Cancel");
    left.hides("Waiting for your browser");
    assert_eq!(server.counts().logins, 0);

    left.press("Log in");
    machine.log_in_there();
    left.shows("ada@example.com");
    right.shows("ada@example.com");
    assert_eq!(server.counts().logins, 1);
    let first = seconds_left(&right);
    eventually("the bar moves", || {
        (seconds_left(&right) < first).then_some(())
    });

    // One asks the API, the other refreshes, and both show it.
    left.press("Call the API");
    left.shows("200 OK");
    right.press("Refresh now");
    right.shows("generation 2");
    left.shows("generation 2");
    right.shows("this window: refreshed, generation 2");
    left.shows(&format!("desktop {}: refreshed, generation 2", other.id()));
    assert_eq!(server.counts().refreshes_ok, 1);

    // The API refuses the token of both: one refresh helps both.
    server.expire_access_tokens();
    left.press("Call the API");
    right.press("Call the API");
    right.shows("200 OK");
    left.shows("generation 3");
    right.shows("generation 3");
    left.hides("Asking the API");
    assert_eq!(server.counts().refreshes_ok, 2);
    picture(&machine, &screens, &left);

    // Nobody asks, and the token is renewed ahead of its end: once for both.
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(8));
    left.press("Refresh now");
    let renewed = eventually("both renew ahead", || {
        let (one, other) = (generation(&left), generation(&right));
        (one >= 6 && one == other).then_some(one)
    });
    let counts = server.counts();
    assert!(counts.refreshes_ok < renewed + 1, "{counts:?}");
    assert_eq!(counts.peak_concurrent_refreshes, 1);

    right.press("Log out");
    right.shows("Nobody is logged in");
    left.shows("Nobody is logged in");
    left.shows(&format!("desktop {}: logged out", other.id()));
    // It is revoked last.
    right.hides("Logging out");
    let counts = server.counts();
    assert_eq!((counts.logins, counts.revocations), (1, 1));
    assert_eq!((counts.reuse_detected, server.living_logins()), (0, 0));
}

/// Where a picture is to go, if one is wanted.
fn wanted_picture() -> Option<OsString> {
    std::env::var_os("VAULT_TEST_PICTURE")
}

/// Looks whether something is drawn; and makes one picture of both windows,
/// where it is wanted.
fn picture(machine: &Machine, screens: &[Screen; 2], window: &Window<'_>) {
    let wanted = wanted_picture();
    if wanted.is_some() {
        eventually("the bar is not full", || {
            (seconds_left(window) < 42).then_some(())
        });
    }
    let files = [0, 1].map(|index| machine.path(&format!("window-{index}.png")));
    for (screen, file) in screens.iter().zip(&files) {
        screen.picture(file);
        assert!(colours(file) > 20, "nothing is drawn");
    }
    let Some(wanted) = wanted else { return };
    let joined = Command::new("convert")
        .args(["-background", "none", "-gravity", "center"])
        .args(&files)
        .args(["-extent", &format!("{}x{}", SIZE.0 + 16, SIZE.1 + 16)])
        .args(["+append", "-strip", "-colors", "192"])
        .arg(wanted)
        .status();
    assert!(joined.expect("ImageMagick is installed").success());
}

/// How many colours a picture has; a window that draws nothing has one.
fn colours(file: &Path) -> u32 {
    let told = Command::new("identify")
        .args(["-format", "%k"])
        .arg(file)
        .output();
    let told = String::from_utf8(told.expect("ImageMagick is installed").stdout).unwrap();
    told.parse().unwrap()
}
