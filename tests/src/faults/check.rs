//! What came of a fault, compared with what the row says.

use std::thread;
use std::time::Duration;

use vault_core::ErrorKind;
use vault_core::session::{Inspection, TokenOptions};

use super::bench::{Answer, Bench, ask, joined};
use super::row::{Afterwards, Caller, Change, FaultRow, Left, Pause};
use super::stored::{Known, Snapshot, compare};
use super::{Finding, Stop};

/// Longer than any back-off, and than an access token's life.
const LATER: Duration = Duration::from_secs(700);

pub(super) fn caller(
    row: &FaultRow,
    answer: &Answer,
    bench: &Bench,
    earlier: Option<&str>,
    finding: &mut Finding,
) {
    if answer.caller() != row.caller {
        finding.wrong(format!(
            "the caller got {:?}, not {:?}: {}",
            answer.caller(),
            row.caller,
            answer.words()
        ));
    }
    if let Some(words) = row.says
        && !answer.words().contains(words)
    {
        finding.wrong(format!("`{words}` is not in `{}`", answer.words()));
    }
    if answer.words().contains(&bench.issued[..12]) {
        finding.wrong("the error shows the refresh token");
    }
    match (row.caller, answer.token.as_deref()) {
        (Caller::New, Some(token)) if row.alive && !bench.server.is_valid_access_token(token) => {
            finding.wrong("the new token is none of the server's");
        }
        (Caller::Stored | Caller::Served(_), token) if token != earlier => {
            finding.wrong("the stored token is another than before");
        }
        _ => {}
    }
}

/// What comes next, in another process and at the same instant: while a
/// back-off lasts it fails alike, after a refresh it gets the stored token, and
/// the server sees nothing of it.
pub(super) fn pause(
    row: &FaultRow,
    answer: &Answer,
    bench: &Bench,
    finding: &mut Finding,
) -> Result<(), Stop> {
    let pause = match row.caller {
        Caller::Fails(_) => answer.retry_after,
        Caller::Served(_) if row.pause != Pause::None => {
            bench.session()?.blocking().inspect()?.backing_off
        }
        _ => None,
    };
    let right = match (row.pause, pause) {
        (Pause::None, pause) => pause.is_none(),
        (Pause::BackOff, Some(pause)) => pause > Duration::ZERO && pause < Duration::from_secs(2),
        (Pause::Refused, Some(pause)) => (20..=30).contains(&pause.as_secs()),
        (Pause::Seconds(seconds), Some(pause)) => pause == Duration::from_secs(seconds),
        _ => false,
    };
    if !right {
        finding.wrong(format!("retry after {pause:?}, not {:?}", row.pause));
    }
    let expected = match (row.next, row.caller) {
        (Some(caller), _) => caller,
        (None, Caller::New) => Caller::Stored,
        _ if row.pause == Pause::None => return Ok(()),
        (None, caller) => caller,
    };
    bench.settle()?;
    let requests = bench.requests();
    let (session, restriction) = (bench.session()?, row.restriction);
    let again = joined(thread::spawn(move || {
        restriction.apply()?;
        Ok(ask(&session))
    }))?;
    if again.caller() != expected {
        finding.wrong(format!(
            "the next caller got {:?}, not {expected:?}: {}",
            again.caller(),
            again.words()
        ));
    }
    if bench.requests() != requests {
        finding.wrong("the server was asked for the next caller");
    }
    Ok(())
}

pub(super) fn stored(
    row: &FaultRow,
    bench: &Bench,
    before: &Snapshot,
    inspected: &Inspection,
    finding: &mut Finding,
) -> Result<(), Stop> {
    let after = Snapshot::take(&bench.place.state_root())?;
    let now = bench.session()?.blocking().inspect().ok();
    let known = Known {
        before: inspected,
        after: now.as_ref(),
        token_item: bench.token_item(),
    };
    let (told, problems) = compare(before, &after, &row.stored, &known);
    finding.stored = told;
    for problem in problems {
        finding.wrong(problem);
    }
    if row.stored.contains(&Change::TokenItemAlone)
        && !known
            .token_item
            .is_some_and(|token| bench.server.is_current_refresh_token(&token))
    {
        finding.wrong("the token item is not the server's newest refresh token");
    }
    let committed = row
        .stored
        .iter()
        .any(|change| matches!(change, Change::Sealed(1)));
    if committed
        && row.alive
        && !now.is_some_and(|now| {
            bench
                .server
                .is_current_refresh_token(now.refresh_token.expose())
        })
    {
        finding.wrong("what is stored is not the server's newest refresh token");
    }
    Ok(())
}

/// A token that may have been spent is not sent again while a valid access
/// token is left, also when the back-off is over.
pub(super) fn served_to_its_end(
    row: &FaultRow,
    bench: &Bench,
    finding: &mut Finding,
) -> Result<(), Stop> {
    let unconfirmed = row
        .stored
        .iter()
        .any(|change| matches!(change, Change::Mark(_)));
    if !unconfirmed || row.login.left != Left::ALittle {
        return Ok(());
    }
    let requests = bench.requests();
    bench.clock.advance(Duration::from_secs(11));
    let answer = ask(&bench.session()?);
    if !matches!(answer.caller(), Caller::Served(_)) || bench.requests() != requests {
        finding.wrong(format!(
            "the valid token was not served to its end: {}",
            answer.told()
        ));
    }
    Ok(())
}

/// With the fault gone, in a new process.
pub(super) fn afterwards(row: &FaultRow, bench: &Bench, finding: &mut Finding) -> Result<(), Stop> {
    bench.clock.advance(LATER);
    let requests = bench.requests();
    if row.afterwards == Afterwards::TokenOnceImported {
        if let Some(server) = &bench.self_signed
            && server.was_reached()
        {
            finding.wrong("something was sent to a server that nobody vouches for");
        }
        bench.import(bench.import_from_server())?;
    }
    let answer = ask(&bench.session()?);
    bench.settle()?;
    finding.afterwards = answer.told();
    if Snapshot::take(&bench.place.state_root())?.has_temporaries() {
        finding.wrong("afterwards a temporary file is left");
    }
    match row.afterwards {
        Afterwards::Token | Afterwards::TokenOnceImported => {
            let token = answer.token.as_deref().unwrap_or_default();
            if answer.caller() != Caller::New || !bench.server.is_valid_access_token(token) {
                finding.wrong(format!(
                    "afterwards no new token: {} {}",
                    answer.told(),
                    answer.words()
                ));
                return Ok(());
            }
            let stored = bench.session()?.blocking().inspect()?;
            let stored = stored.refresh_token.expose();
            if !bench.server.is_current_refresh_token(stored) {
                finding.wrong("afterwards the stored token is not the server's newest");
            }
            if bench.token_item().as_deref() != Some(stored) {
                finding.wrong("afterwards the token item is no copy of the sealed file");
            }
        }
        Afterwards::Stored => {
            if answer.caller() != Caller::Stored {
                finding.wrong(format!("afterwards {}, not the same", answer.told()));
            }
        }
        Afterwards::TokenIfInsisted => {
            if answer.caller() != Caller::Fails(ErrorKind::LoginRequired)
                || bench.requests() != requests
            {
                finding.wrong("a refused token was sent again by itself");
            }
            let insisted = bench.session()?;
            if let Err(error) = insisted.blocking().refresh_now(&TokenOptions::default()) {
                finding.wrong(format!("a person insisted, and got {error:?}"));
            }
        }
        Afterwards::Fails(kind) => {
            if answer.caller() != Caller::Fails(kind) {
                finding.wrong(format!("afterwards {}, not {kind:?}", answer.told()));
            }
            let sent = bench.requests() - requests;
            if kind == ErrorKind::RotationUnconfirmed && sent > 0 {
                finding.wrong("a token that may have been spent was sent again");
            }
        }
    }
    Ok(())
}
