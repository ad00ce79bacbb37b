//! Device codes (RFC 8628): pending, too fast, denied, expired, approved once.

use std::time::Duration;

use super::mint::{digest, mint, user_code};
use super::{Granted, Grants, Issued, Refusal};
use crate::leaks::kept::{self, Kind};
use crate::server::config::{Decision, DeviceApproval, ServerConfig};

/// What RFC 8628 section 3.5 adds to the interval with each `slow_down`.
const SLOWER: Duration = Duration::from_secs(5);

/// A device code.
#[derive(Debug)]
pub(super) struct Device {
    granted: Granted,
    user_code: String,
    expires_at: Duration,
    interval: Duration,
    last_poll: Option<Duration>,
    pending_answers: u32,
    decision: Option<Decision>,
    spent: bool,
}

/// A device authorization response (RFC 8628 section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct DeviceLogin {
    pub(in crate::server) device_code: String,
    pub(in crate::server) user_code: String,
}

/// A poll, as it came in.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct DeviceGrant<'a> {
    pub(in crate::server) device_code: &'a str,
    pub(in crate::server) client_id: &'a str,
    pub(in crate::server) jkt: Option<&'a str>,
}

impl Grants {
    /// Starts a device login.
    pub(in crate::server) fn start_device(
        &mut self,
        granted: Granted,
        config: &ServerConfig,
        now: Duration,
    ) -> DeviceLogin {
        let login = DeviceLogin {
            device_code: mint("dc-", 43),
            user_code: user_code(),
        };
        kept::secret(Kind::DeviceCode, &login.device_code);
        let device = Device {
            granted,
            user_code: login.user_code.clone(),
            expires_at: now + config.device_code_lifetime,
            interval: config.device_interval,
            last_poll: None,
            pending_answers: 0,
            decision: None,
            spent: false,
        };
        self.devices.insert(digest(&login.device_code), device);
        login
    }

    /// Answers a poll (RFC 8628 section 3.5).
    pub(in crate::server) fn poll_device(
        &mut self,
        poll: DeviceGrant<'_>,
        config: &ServerConfig,
        now: Duration,
    ) -> Result<Issued, Refusal> {
        let device = self
            .devices
            .get_mut(&digest(poll.device_code))
            .filter(|device| device.granted.client_id == poll.client_id && !device.spent)
            .ok_or(Refusal::invalid_grant("unknown device code"))?;
        if now >= device.expires_at {
            return Err(Refusal::new("expired_token", "the device code has expired"));
        }
        let last_poll = device.last_poll.replace(now);
        if last_poll.is_some_and(|last| now < last + device.interval) {
            device.interval += SLOWER;
            return Err(Refusal::new("slow_down", "polled too fast"));
        }
        let by_itself = match config.device_approval {
            DeviceApproval::AfterPolls(polls) if device.pending_answers >= polls => {
                Some(Decision::Approve)
            }
            DeviceApproval::DenyAfterPolls(polls) if device.pending_answers >= polls => {
                Some(Decision::Deny)
            }
            _ => None,
        };
        match device.decision.or(by_itself) {
            Some(Decision::Approve) => {
                device.spent = true;
                let granted = Granted {
                    jkt: poll.jkt.map(str::to_owned),
                    ..device.granted.clone()
                };
                Ok(self.log_in(granted, config, now))
            }
            Some(Decision::Deny) => Err(Refusal::new("access_denied", "the person said no")),
            None => {
                device.pending_answers += 1;
                Err(Refusal::new(
                    "authorization_pending",
                    "nobody has decided yet",
                ))
            }
        }
    }

    /// Decides about the device code that a person typed in; whether there is such a one.
    ///
    /// Case and the hyphen don't matter (RFC 8628 section 6.1).
    pub(in crate::server) fn decide_device(
        &mut self,
        user_code: &str,
        decision: Decision,
        now: Duration,
    ) -> bool {
        let typed = letters(user_code);
        let device = self.devices.values_mut().find(|device| {
            letters(&device.user_code) == typed && now < device.expires_at && !device.spent
        });
        if let Some(device) = device {
            device.decision = Some(decision);
            return true;
        }
        false
    }

    /// Makes every device code expire now.
    pub(in crate::server) fn expire_devices(&mut self, now: Duration) {
        for device in self.devices.values_mut() {
            device.expires_at = device.expires_at.min(now);
        }
    }
}

fn letters(user_code: &str) -> String {
    user_code
        .chars()
        .filter(char::is_ascii_alphabetic)
        .collect::<String>()
        .to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::super::{at, granted};
    use super::*;

    fn config(device_approval: DeviceApproval) -> ServerConfig {
        ServerConfig {
            device_approval,
            device_interval: Duration::from_secs(5),
            ..ServerConfig::default()
        }
    }

    fn poll(
        grants: &mut Grants,
        login: &DeviceLogin,
        config: &ServerConfig,
        now: u64,
    ) -> Result<Issued, &'static str> {
        let poll = DeviceGrant {
            device_code: &login.device_code,
            client_id: "app",
            jkt: None,
        };
        grants
            .poll_device(poll, config, at(now))
            .map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_code_is_pending_until_a_person_approves_and_then_good_once() {
        let (config, mut grants) = (config(DeviceApproval::ByHand), Grants::default());
        let login = grants.start_device(granted(), &config, at(0));
        assert_eq!(
            poll(&mut grants, &login, &config, 1),
            Err("authorization_pending")
        );
        let typed = login.user_code.to_lowercase().replace('-', " ");
        assert!(grants.decide_device(&typed, Decision::Approve, at(2)));
        let issued = poll(&mut grants, &login, &config, 6).expect("granted");
        assert!(grants.is_current(&issued.refresh_token.expect("a login has one")));
        assert_eq!(poll(&mut grants, &login, &config, 12), Err("invalid_grant"));
        assert!(!grants.decide_device("BBBB-BBBB", Decision::Approve, at(2)));
    }

    #[test]
    fn polling_too_fast_is_slowed_down_by_five_seconds_each_time() {
        let (config, mut grants) = (config(DeviceApproval::AfterPolls(1)), Grants::default());
        let login = grants.start_device(granted(), &config, at(0));
        assert_eq!(
            poll(&mut grants, &login, &config, 1),
            Err("authorization_pending")
        );
        assert_eq!(poll(&mut grants, &login, &config, 5), Err("slow_down"));
        assert_eq!(poll(&mut grants, &login, &config, 14), Err("slow_down"));
        assert!(poll(&mut grants, &login, &config, 29).is_ok());
    }

    #[test]
    fn a_code_can_be_denied_by_hand_and_by_itself() {
        let by_hand = config(DeviceApproval::ByHand);
        let mut grants = Grants::default();
        let login = grants.start_device(granted(), &by_hand, at(0));
        assert!(grants.decide_device(&login.user_code, Decision::Deny, at(0)));
        assert_eq!(poll(&mut grants, &login, &by_hand, 1), Err("access_denied"));
        let by_itself = config(DeviceApproval::DenyAfterPolls(1));
        let login = grants.start_device(granted(), &by_itself, at(0));
        assert_eq!(
            poll(&mut grants, &login, &by_itself, 1),
            Err("authorization_pending")
        );
        assert_eq!(
            poll(&mut grants, &login, &by_itself, 6),
            Err("access_denied")
        );
        assert_eq!(grants.living_families(), 0);
    }

    #[test]
    fn a_code_expires() {
        let (config, mut grants) = (config(DeviceApproval::AfterPolls(0)), Grants::default());
        let login = grants.start_device(granted(), &config, at(0));
        assert_eq!(
            poll(&mut grants, &login, &config, 600),
            Err("expired_token")
        );
        let other = grants.start_device(granted(), &config, at(0));
        grants.expire_devices(at(1));
        assert_eq!(poll(&mut grants, &other, &config, 1), Err("expired_token"));
    }
}
