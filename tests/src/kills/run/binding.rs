//! A change of the hosts that a login is bound to: it was made or it was not, and the login goes
//! on either way.

use std::time::Duration;

use vault_core::{BoundHost, ErrorKind};

use super::super::scenario::{End, HOSTS, Phase};
use super::super::worker::{Act, Failure, wanted};
use super::{Finding, Judge, PATIENCE};

impl Judge<'_> {
    pub(super) fn after_binding(&self) -> Result<Finding, Failure> {
        let at = self.scenario.next_at();
        let bound = self.bound(at)?;
        let (got, took) = self.ask(at)?;
        let (outcome, why) = self.outcome(got, at)?;
        let mut wrong = self.check(outcome, why);
        if took > PATIENCE {
            wrong.get_or_insert(format!("it took {took:?}"));
        }
        let [before, after] = self.scenario.bound();
        let may_be = match (self.phase, self.scenario.end) {
            (Phase::Renamed, End::PowerLoss) => vec![before, after],
            (Phase::Renamed | Phase::Committed, _) => vec![after],
            _ => vec![before],
        };
        if !may_be.iter().any(|hosts| bound == *hosts) {
            wrong.get_or_insert(format!("bound to {bound:?}, not to {may_be:?}"));
        }
        if wrong.is_none() {
            wrong = self.goes_on(&bound, at)?;
        }
        Ok(Finding {
            outcome,
            served: false,
            wrong,
        })
    }

    fn bound(&self, at: Duration) -> Result<Vec<String>, Failure> {
        let inspection = self.open(at)?.blocking().inspect()?;
        Ok(inspection
            .bound_hosts
            .iter()
            .map(ToString::to_string)
            .collect())
    }

    /// The refreshes since then have kept the hosts, tools are given tokens for them and for no
    /// others, and the change can be made now.
    fn goes_on(&self, bound: &[String], at: Duration) -> Result<Option<String>, Failure> {
        let now = self.bound(at)?;
        if now != bound {
            return Ok(Some(format!(
                "bound to {bound:?}, refreshed, bound to {now:?}"
            )));
        }
        let session = self.open(at)?;
        for name in HOSTS {
            let host: BoundHost = name.parse()?;
            let given = session.blocking().token_for_host(&host, &wanted(0));
            let kind = given.as_ref().err().map(vault_core::Error::kind);
            let expected = match bound.iter().any(|bound| bound == name) {
                true => None,
                false => Some(ErrorKind::HostNotBound),
            };
            if kind != expected {
                return Ok(Some(format!(
                    "bound to {bound:?}, and {name} gets {given:?}"
                )));
            }
        }
        let [before, after] = self.scenario.bound();
        let changes = match self.scenario.act("") {
            Act::Bind { host } => session.blocking().bind(&host.parse()?),
            Act::Unbind { host } => session.blocking().unbind(&host.parse()?),
            act => return Err(format!("{act:?} binds nothing").into()),
        };
        if !matches!(&changes, Ok(changed) if *changed == (bound == before)) {
            return Ok(Some(format!("the change once more: {changes:?}")));
        }
        let now = self.bound(at)?;
        Ok((now != after).then(|| format!("in the end bound to {now:?}")))
    }
}
