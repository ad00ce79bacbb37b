//! The one thing that needs a person: a login with a code, which is typed in on
//! a machine that has a browser (RFC 8628).

use std::sync::Arc;

use url::Url;
use vault_core::login::{DeviceAuthorization, Flow, LoginInteraction, LoginRequest};
use vault_core::{Error, ErrorKind};

use crate::{Arguments, open};

pub(crate) async fn log_in(arguments: &Arguments) -> Result<(), Error> {
    let session = open(arguments)?.session("default")?;
    let request = LoginRequest::new(&arguments.issuer, &arguments.client_id)
        .scope("openid")
        .scope("offline_access")
        .flow(Flow::Device);
    let report = session.login(request, Arc::new(Administrator)).await?;
    let account = report.account.as_deref().unwrap_or("somebody");
    println!("logged in as {account}");
    Ok(())
}

/// Who reads standard error.
struct Administrator;

impl LoginInteraction for Administrator {
    fn open_url(&self, _: &Url) -> Result<(), Error> {
        let message = "there is no browser here: use the device flow";
        Err(Error::new(ErrorKind::NotOffered, message))
    }

    fn show_device_code(&self, code: &DeviceAuthorization) {
        eprintln!(
            "Open {} and type in {}",
            code.verification_uri, code.user_code
        );
    }
}
