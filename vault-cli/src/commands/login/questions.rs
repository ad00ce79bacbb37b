//! What `login` asks the person at the terminal for who did not say it: the
//! server, with the known ones offered, the client, the scopes and the flow.
//! Where nobody is there, what is missing is a usage error.

use url::Url;
use vault_core::known_servers::{KnownServer, KnownServers};

use crate::args::{self, Flow};
use crate::context::{Context, known_servers};
use crate::failure::{Failure, Problem};
use crate::output::{Output, visible};
use crate::terminal;

/// So often the same thing is asked.
const TRIES: usize = 5;

/// Who is to log in where, and how.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) scope: Vec<String>,
    pub(super) flow: Flow,
}

/// Takes what the arguments say, and asks for the rest.
pub(super) fn answers(context: &Context, arguments: &args::Login) -> Result<Answers, Problem> {
    let scope = arguments.scope.clone();
    let flow = arguments.flow;
    let (issuer, client_id) = match (&arguments.issuer, &arguments.client_id) {
        (Some(issuer), Some(client_id)) => {
            // All that has to be known is said: nothing is asked.
            return Ok(Answers {
                issuer: issuer.clone(),
                client_id: client_id.clone(),
                scope,
                flow: flow.unwrap_or(Flow::Browser),
            });
        }
        some => some,
    };
    if context.output.json || !terminal::is_attended() {
        return Err(missing(issuer.is_none(), client_id.is_none()).into());
    }
    let person = Person(&context.output);
    let servers = known_servers(arguments.server.issuers_file.as_deref())?;
    let issuer = match issuer {
        Some(issuer) => issuer.clone(),
        None => person.issuer(&servers)?,
    };
    let client_id = match client_id {
        Some(client_id) => client_id.clone(),
        None => person.text("Client id, as it is registered there: ")?,
    };
    let scope = match scope.is_empty() {
        true => person.scope(servers.find(&issuer))?,
        false => scope,
    };
    let flow = match flow {
        Some(flow) => flow,
        None if arguments.no_browser => Flow::Browser,
        None => person.flow()?,
    };
    Ok(Answers {
        issuer,
        client_id,
        scope,
        flow,
    })
}

impl Answers {
    /// The command line that needs no question.
    pub(super) fn command_line(&self, context: &Context) -> String {
        let mut line = format!(
            "login --issuer {} --client-id {}",
            visible(&self.issuer),
            visible(&self.client_id)
        );
        for scope in &self.scope {
            line.push_str(&format!(" --scope {}", visible(scope)));
        }
        if self.flow == Flow::Device {
            line.push_str(" --flow device");
        }
        context.options.command_line(&line)
    }
}

fn missing(issuer: bool, client_id: bool) -> Failure {
    let missing: Vec<_> = [(issuer, "--issuer <URL>"), (client_id, "--client-id <ID>")]
        .into_iter()
        .filter_map(|(missing, option)| missing.then_some(option))
        .collect();
    Failure::usage(
        "usage",
        format!(
            "the following required arguments were not provided: {}",
            missing.join(" ")
        ),
        "give them, or log in on a terminal, where they are asked for; `vault-cli login --help` \
         has examples",
    )
}

/// Who answers.
struct Person<'a>(&'a Output);

impl Person<'_> {
    /// Asks until the answer can be used.
    fn ask<T>(
        &self,
        question: &str,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Result<T, Failure> {
        for _ in 0..TRIES {
            let Some(answer) = terminal::ask(self.0, question) else {
                break;
            };
            match read(answer.trim()) {
                Ok(read) => return Ok(read),
                Err(why) => self.0.line(why),
            }
        }
        Err(Failure::usage(
            "declined",
            "the login was not begun: a question was not answered",
            "run it again, or give the options that `vault-cli login --help` shows",
        ))
    }

    fn text(&self, question: &str) -> Result<String, Failure> {
        self.ask(question, |answer| match answer {
            "" => Err("It is needed."),
            answer => Ok(answer.to_owned()),
        })
    }

    fn issuer(&self, servers: &KnownServers) -> Result<String, Failure> {
        let offered: Vec<_> = servers
            .iter()
            .filter(|server| server.issuer.is_some())
            .collect();
        self.0.line("Where do you log in?");
        for (index, server) in offered.iter().enumerate() {
            let issuer = server.issuer.as_deref().unwrap_or_default();
            let (number, title) = (index + 1, visible(&server.title));
            self.0
                .line(&format!("  {number:>2}  {title:<20}  {}", visible(issuer)));
        }
        let question = "Number, or the address of another server: ";
        match self.ask(question, |answer| place(answer, offered.len()))? {
            Place::Other(issuer) => Ok(issuer),
            Place::Offered(index) => {
                let server = offered[index];
                let mut values = Vec::new();
                for blank in server.issuer_blanks() {
                    let question = format!("{}, {blank}: ", server.title);
                    values.push(self.text(&visible(&question))?);
                }
                Ok(server.issuer_with(&values).unwrap_or_default())
            }
        }
    }

    fn scope(&self, server: Option<&KnownServer>) -> Result<Vec<String>, Failure> {
        // A known server is asked for what it wants.
        let usual = match server {
            Some(server) if server.offline_scope.is_none() => "openid",
            _ => "openid offline_access",
        };
        self.ask(
            &format!("Scopes, with spaces between [{usual}]: "),
            |answer| {
                let answer = if answer.is_empty() { usual } else { answer };
                Ok(answer.split_whitespace().map(str::to_owned).collect())
            },
        )
    }

    fn flow(&self) -> Result<Flow, Failure> {
        self.0.line("How?");
        self.0.line("   1  with a browser on this machine");
        self.0
            .line("   2  by a code, with a browser on any machine");
        self.ask("Number [1]: ", |answer| match answer {
            "" | "1" | "browser" => Ok(Flow::Browser),
            "2" | "device" => Ok(Flow::Device),
            _ => Err("Type 1 or 2."),
        })
    }
}

/// What was answered about the server.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Offered(usize),
    Other(String),
}

fn place(answer: &str, offered: usize) -> Result<Place, &'static str> {
    if let Ok(number) = answer.parse::<usize>() {
        return match number.checked_sub(1) {
            Some(index) if index < offered => Ok(Place::Offered(index)),
            _ => Err("There is no such number."),
        };
    }
    let address = match answer.contains("://") {
        true => answer.to_owned(),
        false => format!("https://{answer}"),
    };
    match Url::parse(&address) {
        Ok(url) if url.has_host() => Ok(Place::Other(address)),
        _ => Err("Type a number, or an address such as https://login.example."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_number_or_by_address() {
        let other = |address: &str| Ok(Place::Other(address.to_owned()));
        for (answer, wanted) in [
            ("1", Ok(Place::Offered(0))),
            ("3", Ok(Place::Offered(2))),
            ("https://login.example/", other("https://login.example/")),
            ("login.example", other("https://login.example")),
            ("http://127.0.0.1:80", other("http://127.0.0.1:80")),
        ] {
            assert_eq!(place(answer, 3), wanted, "{answer}");
        }
        for answer in ["", "0", "4", "a b", "https://"] {
            assert!(place(answer, 3).is_err(), "{answer}");
        }
    }

    #[test]
    fn what_is_missing_is_named_on_one_line() {
        assert_eq!(
            missing(true, true).message,
            "the following required arguments were not provided: --issuer <URL> --client-id <ID>"
        );
        assert!(missing(false, true).message.ends_with(": --client-id <ID>"));
    }
}
