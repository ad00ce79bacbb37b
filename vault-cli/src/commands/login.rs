//! `login`: from a person to a stored login.

mod questions;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;
use url::Url;
use vault_core::enrolment::LoginReport;
use vault_core::login::{DeviceAuthorization, Flow, LoginInteraction, LoginRequest, SystemBrowser};
use vault_core::{BoundHost, Error, Session};

use crate::args;
use crate::confidential;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};
use crate::output::{Output, visible};
use crate::qr;
use crate::signals;
use crate::spinner::Spinner;
use crate::terminal;
use crate::times;

pub(crate) fn run(context: &Context, arguments: args::Login) -> Result<Exit, Problem> {
    let attended = terminal::is_attended();
    let answers = questions::answers(context, &arguments)?;
    let flow = match answers.flow {
        args::Flow::Browser => Flow::Browser,
        args::Flow::Device => Flow::Device,
    };
    if flow == Flow::Browser && !arguments.no_browser && !attended {
        let message = "a login with a browser needs a terminal, and there is none";
        let hint = "`--no-browser` prints the URL to open; `--flow device` shows a code";
        return Err(Failure::usage("no_terminal", message, hint).into());
    }
    let credential = confidential::credential(&arguments.server.confidential)?;
    let session = context.session_for_login(&arguments.server)?;
    let asked = arguments.issuer.is_none() || arguments.client_id.is_none();
    let again = asked.then(|| answers.command_line(context));
    let mut request = LoginRequest::new(answers.issuer, answers.client_id)
        .flow(flow)
        .dpop(arguments.dpop);
    if let Some(credential) = credential {
        request = request.credential(credential);
    }
    for scope in answers.scope {
        request = request.scope(scope);
    }
    for resource in arguments.resource {
        request = request.resource(resource);
    }
    if let Some(port) = arguments.redirect_port {
        request = request.redirect_port(port);
    }
    if let Some(uri) = arguments.redirect_uri {
        request = request.redirect_uri(uri);
    }
    if let Some(prompt) = arguments.prompt {
        request = request.prompt(prompt);
    }
    if let Some(hint) = arguments.login_hint {
        request = request.login_hint(hint);
    }
    if let Some(age) = arguments.max_age {
        request = request.max_age(age);
    }
    for (name, value) in arguments.parameter {
        request = request.parameter(name, value);
    }
    let person = Arc::new(Person {
        output: context.output,
        attended,
        qr: attended && !arguments.no_qr && !context.options.quiet,
        profile: context.options.profile.clone(),
        browser: (!arguments.no_browser).then(SystemBrowser::new),
        progress: Mutex::default(),
    });
    let ending = person.clone();
    signals::before_the_end(Box::new(move || ending.finished()));
    let report = session.blocking().login(request, person)?;
    tell(context, &session, &report)?;
    if let Some(again) = again {
        context
            .output
            .note(&format!("the same without questions: `{again}`"));
    }
    Ok(Exit::Done)
}

/// Tells who logged in, until when, and where it is kept. `import` does too.
pub(super) fn tell(
    context: &Context,
    session: &Session,
    report: &LoginReport,
) -> Result<(), Problem> {
    let output = &context.output;
    if output.json {
        return Ok(output.document(&Answer::new(context, session, report))?);
    }
    let who = report
        .account
        .as_deref()
        .map(|account| format!(" as {account}"));
    let text = format!(
        "logged in{} at {}, profile {}, kept in the {} store ({})\n",
        visible(&who.unwrap_or_default()),
        visible(&report.issuer),
        session.name(),
        report.store,
        visible(&report.provider),
    );
    output.text(&text)?;
    if !report.unbound.is_empty() {
        let hosts: Vec<_> = report.unbound.iter().map(ToString::to_string).collect();
        output.warning(&format!(
            "the login before was bound to {}; this one is not, for it is not known to be the \
             same account's: `{}` binds it",
            hosts.join(", "),
            context.options.command_line("bind HOST")
        ));
    }
    if report.shared {
        output.note("another process made this login meanwhile; it is shared");
    }
    super::tell_its_end(context, &report.store);
    if terminal::is_attended() {
        if let Some(end) = expires_at_ms(session) {
            output.note(&format!(
                "its access token is good until {}; who asks for one later gets a fresh one",
                times::both(end, times::now_ms())
            ));
        }
        output.note(&format!(
            "next: `{}` prints it, `{}` shows what happens with it",
            context.options.command_line("token"),
            context.options.command_line("watch"),
        ));
    }
    Ok(())
}

/// When the access token of a login that was just made expires. The login is
/// done: what can't be said of it now is left out.
fn expires_at_ms(session: &Session) -> Option<u64> {
    let stored = session.blocking().inspect().ok()?;
    stored.access_tokens.first()?.expires_at_ms
}

#[derive(Serialize)]
struct Answer<'a> {
    app: &'a str,
    profile: &'a str,
    account: Option<&'a str>,
    issuer: &'a str,
    store: &'a str,
    provider: &'a str,
    /// Another process made the login.
    shared: bool,
    /// Hosts that the login before was bound to, and this one is not.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    unbound: &'a [BoundHost],
    expires_at: Option<String>,
}

impl<'a> Answer<'a> {
    fn new(context: &'a Context, session: &'a Session, report: &'a LoginReport) -> Self {
        Self {
            app: &context.options.app,
            profile: session.name(),
            account: report.account.as_deref(),
            issuer: &report.issuer,
            store: &report.store,
            provider: &report.provider,
            shared: report.shared,
            unbound: &report.unbound,
            expires_at: expires_at_ms(session).map(times::rfc3339),
        }
    }
}

/// The person at the terminal, or the script that stands for one.
struct Person {
    output: Output,
    attended: bool,
    /// Whether a QR code is shown with a device code.
    qr: bool,
    profile: String,
    /// `None` where none is to be opened.
    browser: Option<SystemBrowser>,
    progress: Mutex<Option<Spinner>>,
}

impl Person {
    fn end_progress(&self) {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// To people only: scripts read these lines.
    fn guide(&self, text: &str) {
        if self.attended {
            self.output.note(text);
        }
    }
}

impl LoginInteraction for Person {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        let Some(browser) = &self.browser else {
            self.guide("Open this address in a browser on this machine:");
            self.output.line(url.as_str());
            return Ok(());
        };
        let host = url.host_str().unwrap_or_default();
        match browser.open_url(url) {
            Ok(()) => self.guide(&format!(
                "The browser opens, to log in at {host}. If it does not, open this address in it:"
            )),
            Err(error) => self.output.warning(&format!(
                "{error}; open this address in a browser on this machine:"
            )),
        }
        self.output.line(url.as_str());
        Ok(())
    }

    fn show_device_code(&self, code: &DeviceAuthorization) {
        let output = &self.output;
        if output.json {
            let document = json!({
                "verification_uri": code.verification_uri,
                "verification_uri_complete": code.verification_uri_complete,
                "user_code": code.user_code,
                "expires_in": code.expires_in.as_secs(),
            });
            output.line(&document.to_string());
            return;
        }
        output.line(&format!(
            "Open {} and enter the code {}",
            code.verification_uri, code.user_code
        ));
        if let Some(url) = &code.verification_uri_complete {
            output.line(&format!("or open {url}"));
        }
        let address = code.verification_uri_complete.as_ref();
        let address = address.unwrap_or(&code.verification_uri);
        if self.qr
            && let Some(picture) = qr::picture(address.as_str())
        {
            output.line(&picture);
        }
        self.guide(&format!(
            "The code is good for {}.",
            times::length(code.expires_in)
        ));
    }

    fn waiting(&self, what: &str) {
        if !self.attended || self.output.quiet || self.output.json {
            return;
        }
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress
            .get_or_insert_with(Spinner::start)
            .say(format!("waiting for {}", visible(what)));
    }

    fn confirm_other_account(&self, stored: &str, new: &str) -> bool {
        self.end_progress();
        let question = format!(
            "The profile {} belongs to {}, and this login is for {}. Replace it?",
            self.profile,
            visible(stored),
            visible(new)
        );
        terminal::confirms(&self.output, &question)
    }

    fn finished(&self) {
        self.end_progress();
        if let Some(browser) = &self.browser {
            browser.finished();
        }
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Person")
            .field("attended", &self.attended)
            .finish_non_exhaustive()
    }
}
