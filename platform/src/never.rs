//! What secrets never do, as examples that must not compile. Each is like the
//! one that does, but for the trait.

macro_rules! never {
    ($name:ident: $type:literal) => {
        #[doc = concat!(
            "```\nfn needs<T: std::fmt::Debug>() {}\nneeds::<vault_platform::", $type, ">();\n```\n",
            "```compile_fail\nfn needs<T: Clone>() {}\nneeds::<vault_platform::", $type, ">();\n```\n",
            "```compile_fail\nfn needs<T: std::fmt::Display>() {}\nneeds::<vault_platform::", $type, ">();\n```\n",
            "```compile_fail\nfn needs<T: serde::Serialize>() {}\nneeds::<vault_platform::", $type, ">();\n```\n",
        )]
        mod $name {}
    };
}

never!(secret_bytes: "secret::SecretBytes");
never!(secret_string: "secret::SecretString");
never!(secret_buffer: "secret::SecretBuffer");
never!(locked_bytes: "locked::LockedBytes");
never!(sealing_key: "sealed_file::SealingKey");

/// The traits are there to be had.
/// ```
/// fn needs<T: Clone + std::fmt::Display + serde::Serialize>() {}
/// needs::<String>();
/// ```
mod control {}
