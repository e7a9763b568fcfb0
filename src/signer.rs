//! What signs a commit or a summary on its way into the repository.

use std::fmt::Debug;

use crate::error::Result;
use crate::gvariant::Dict;
use crate::object::detached;

/// What bytes to be signed are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// A commit object.
    Commit,
    /// A summary.
    Summary,
    /// A superblock.
    Delta,
}

impl PayloadKind {
    /// As programs that sign see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Summary => "summary",
            Self::Delta => "delta",
        }
    }
}

/// A signature, and the key of the dictionary that it belongs under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// As [`detached::GPG_KEY`] or `ostree.sign.ed25519`.
    pub metadata_key: &'static str,
    /// One element of the array there.
    pub bytes: Vec<u8>,
}

/// Something that signs: a key, or a program that has one.
pub trait Signer: Debug + Send + Sync {
    /// Signs bytes.
    ///
    /// # Errors
    /// When there is no such key, or it cannot sign. The error has nothing secret in it.
    fn sign(&self, kind: PayloadKind, payload: &[u8]) -> Result<Signature>;

    /// Looks, before it signs, at the signatures that there are already.
    ///
    /// # Errors
    /// When it signs such a thing only once, and has done so. By default it does not mind.
    fn check(&self, _kind: PayloadKind, _payload: &[u8], _signatures: &Dict) -> Result<()> {
        Ok(())
    }
}

/// Appends the signatures of all signers to a dictionary, in their order.
///
/// # Errors
/// As the first signer that fails.
pub fn sign_all<'s>(
    signers: impl IntoIterator<Item = &'s dyn Signer>,
    kind: PayloadKind,
    payload: &[u8],
    metadata: &Dict,
) -> Result<Dict> {
    let mut metadata = metadata.clone();
    for signer in signers {
        signer.check(kind, payload, &metadata)?;
        let Signature { metadata_key, bytes } = signer.sign(kind, payload)?;
        metadata = detached::append(&metadata, metadata_key, &bytes);
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[derive(Debug)]
    struct Fixed(&'static str);

    impl Signer for Fixed {
        fn sign(&self, kind: PayloadKind, payload: &[u8]) -> Result<Signature> {
            match self.0 {
                "" => Err(Error::failed("no key")),
                metadata_key => {
                    let bytes = [kind.name().as_bytes(), payload].concat();
                    Ok(Signature { metadata_key, bytes })
                }
            }
        }
    }

    #[test]
    fn every_signer_adds_one_element_and_the_first_error_counts() {
        let sign = |keys: &[&'static str]| {
            let signers: Vec<Fixed> = keys.iter().map(|key| Fixed(key)).collect();
            let signers = signers.iter().map(|signer| signer as &dyn Signer);
            sign_all(signers, PayloadKind::Summary, b"!", &Dict::new())
        };
        let signed = sign(&["one", "other", "one"]).unwrap();
        let under = |key| detached::signatures(&signed, key).map(|all| all.collect::<Vec<_>>());
        assert_eq!(under("one"), Some(vec![&b"summary!"[..]; 2]));
        assert_eq!(under("other"), Some(vec![&b"summary!"[..]]));
        assert_eq!(sign(&["one", ""]).unwrap_err().chain(), "no key");
    }
}
