//! What tokens and credentials never do, as examples that must not compile.
//! Each is like the one that does, but for the trait.

macro_rules! never {
    ($name:ident: $type:literal, $($trait:literal),*) => {
        #[doc = concat!(
            "```\nfn needs<T: std::fmt::Debug>() {}\nneeds::<vault_core::", $type, ">();\n```\n",
            $("```compile_fail\nfn needs<T: ", $trait, ">() {}\nneeds::<vault_core::", $type, ">();\n```\n"),*
        )]
        mod $name {}
    };
}

never!(refresh_token: "RefreshToken", "Clone", "std::fmt::Display", "serde::Serialize");
never!(access_token: "AccessToken", "std::fmt::Display", "serde::Serialize");
never!(id_token: "token::IdToken", "Clone", "std::fmt::Display", "serde::Serialize");
never!(credential: "oauth::ClientCredential", "Clone", "std::fmt::Display", "serde::Serialize");

/// The traits are there to be had.
/// ```
/// fn needs<T: Clone + std::fmt::Display + serde::Serialize>() {}
/// needs::<String>();
/// ```
mod control {}
