//! What a thief would try at the provider.

use super::cell::Scene;
use super::machine::Machine;
use super::matrix::{Bench, Feature, Flow};
use super::{Failure, ensure};
use crate::server::plain_http;

/// The client whose refresh token is stolen.
pub(super) const STOLEN: &str = "stolen";
/// The client whose authorization response comes again.
pub(super) const REPLAYED: &str = "replayed";

/// Out of the store of a bound login, a refresh token is worth nothing: neither by itself nor in
/// another vault. The login it was taken from lives on.
pub(super) fn stolen_refresh_token(bench: &Bench) -> Result<String, Failure> {
    let scene = Scene::new(bench, Flow::Refresh, Feature::Dpop, STOLEN)?;
    let mut arguments = scene.login_arguments()?;
    arguments.push("--dpop".to_owned());
    scene.attend(&scene.machine, arguments)?.done("login")?;

    let stolen = scene.machine.stored_refresh_token()?;
    let refused = scene.provider.refresh(STOLEN, stolen.expose())?;
    ensure(
        (refused.status, &refused.json["error"]) == (400, &"invalid_grant".into()),
        || format!("the thief got {}", refused.status),
    )?;
    let mut arguments = scene.login_arguments()?;
    if let Some(command) = arguments.first_mut() {
        "import".clone_into(command);
    }
    let elsewhere = Machine::new()?;
    elsewhere
        .run_with_input(&arguments, stolen.expose())?
        .done("import")?;
    let said = elsewhere.run(&["refresh", "--force"])?;
    ensure(said.code == Some(3), || format!("in another vault: {said}"))?;
    scene.counted("refreshes_ok", 0)?;
    scene.counted("refreshes_refused", 2)?;

    let own = scene.machine.run(&["refresh", "--force"])?;
    own.done("the owner's refresh")?;
    scene.counted("reuse_detected", 0)?;
    Ok("refused twice, invalid_grant; the login lives".to_owned())
}

/// The response of one login is refused by the next, and its code is not spent again: the
/// provider would revoke what came of it.
pub(super) fn replayed_response(bench: &Bench) -> Result<String, Failure> {
    let scene = Scene::new(bench, Flow::Browser, Feature::Public, REPLAYED)?;
    let mut arguments = scene.login_arguments()?;
    arguments.push("--no-browser".to_owned());
    let begin = || {
        let mut login = scene.machine.start(&arguments)?;
        match login.line_that_starts_with("http")? {
            Some(url) => Ok((login, url)),
            None => Err(Failure::from("no address to open")),
        }
    };
    let (login, url) = begin()?;
    let response = scene.provider.redirect(&url)?;
    let page = plain_http::fetch(response.as_str(), &[])?;
    ensure(page.status == 200, || format!("page {}", page.status))?;
    login.finish()?.done("login")?;

    let (login, url) = begin()?;
    let mut replayed = scene.provider.redirect(&url)?;
    replayed.set_query(response.query());
    let page = plain_http::fetch(replayed.as_str(), &[])?;
    ensure(page.status == 400, || format!("page {}", page.status))?;
    let said = login.finish()?;
    ensure(said.error() == "state_mismatch", || said.to_string())?;
    scene.counted("logins", 1)?;
    scene.counted("token_requests", 1)?;
    let own = scene.machine.run(&["refresh", "--force"])?;
    own.done("a refresh of the first login")?;
    Ok("state_mismatch; the code was not sent again".to_owned())
}
