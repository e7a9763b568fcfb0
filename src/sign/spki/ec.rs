//! ECDSA on the curves of NIST and on secp256k1, with SHA-256 on each and signatures in DER.
//!
//! ```text
//! signature   SEQUENCE { r INTEGER, s INTEGER }
//! ```

use ecdsa::hazmat::{sign_prehashed, verify_prehashed};
use ecdsa::{Signature, SignatureSize};
use elliptic_curve::generic_array::ArrayLength;
use elliptic_curve::sec1::{FromEncodedPoint, ModulusSize, ToEncodedPoint};
use elliptic_curve::{
    AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize, NonZeroScalar, PrimeCurve,
    ProjectivePoint, PublicKey as CurvePoint, SecretKey,
};
use k256::Secp256k1;
use p224::NistP224;
use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::UintRef;
use pkcs8::der::{Decode, Encode, Reader, SliceReader, SliceWriter};
use rsa::rand_core::OsRng;
use zeroize::Zeroizing;

use super::super::error::SignError;
use super::super::verdict::Verdict;
use crate::checksum::Checksum;

pub(crate) const UNKNOWN_CURVE: SignError = SignError::UnusableKey { reason: "unknown curve" };
const MALFORMED: SignError = SignError::UnusableKey { reason: "" };

/// The names of the curves in keys (RFC 5480, SEC 2).
const P224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");

/// Two numbers of 66 bytes with a NUL before, their tags and lengths, and a tag and a length.
const LONGEST_SIGNATURE: usize = 2 * (66 + 1 + 2) + 3;

/// A point of a curve.
pub(crate) enum PublicKey {
    P224(CurvePoint<NistP224>),
    P256(CurvePoint<NistP256>),
    P384(CurvePoint<NistP384>),
    P521(CurvePoint<NistP521>),
    Secp256k1(CurvePoint<Secp256k1>),
}

impl PublicKey {
    /// Takes a point of that curve, compressed or not.
    pub(crate) fn decode(curve: ObjectIdentifier, point: &[u8]) -> Result<Self, SignError> {
        match curve {
            P224 => decode(point).map(Self::P224),
            P256 => decode(point).map(Self::P256),
            P384 => decode(point).map(Self::P384),
            P521 => decode(point).map(Self::P521),
            SECP256K1 => decode(point).map(Self::Secp256k1),
            _ => Err(UNKNOWN_CURVE),
        }
    }

    pub(crate) fn verify(&self, data: &[u8], signature: &[u8]) -> Verdict {
        let tried = match self {
            Self::P224(point) => verify(point, data, signature),
            Self::P256(point) => verify(point, data, signature),
            Self::P384(point) => verify(point, data, signature),
            Self::P521(point) => verify(point, data, signature),
            Self::Secp256k1(point) => verify(point, data, signature),
        };
        Verdict::from(tried.ok_or(()))
    }
}

/// Signs with the secret number of a key on that curve.
pub(crate) fn sign(
    curve: ObjectIdentifier,
    secret: &[u8],
    data: &[u8],
) -> Result<Vec<u8>, SignError> {
    let signature = match curve {
        P224 => sign_on::<NistP224>(secret, data),
        P256 => sign_on::<NistP256>(secret, data),
        P384 => sign_on::<NistP384>(secret, data),
        P521 => sign_on::<NistP521>(secret, data),
        SECP256K1 => sign_on::<Secp256k1>(secret, data),
        _ => return Err(UNKNOWN_CURVE),
    };
    signature.ok_or(MALFORMED)
}

/// The point that belongs to the secret number of a key on that curve, uncompressed.
pub(crate) fn public_key(curve: ObjectIdentifier, secret: &[u8]) -> Result<Vec<u8>, SignError> {
    let point = match curve {
        P224 => point_of::<NistP224>(secret),
        P256 => point_of::<NistP256>(secret),
        P384 => point_of::<NistP384>(secret),
        P521 => point_of::<NistP521>(secret),
        SECP256K1 => point_of::<Secp256k1>(secret),
        _ => return Err(UNKNOWN_CURVE),
    };
    point.ok_or(MALFORMED)
}

fn point_of<C>(secret: &[u8]) -> Option<Vec<u8>>
where
    C: PrimeCurve + CurveArithmetic,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let secret = SecretKey::<C>::from_bytes(&Zeroizing::new(field::<C>(secret)?)).ok()?;
    Some(secret.public_key().to_encoded_point(false).as_bytes().to_vec())
}

fn decode<C>(point: &[u8]) -> Result<CurvePoint<C>, SignError>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
    FieldBytesSize<C>: ModulusSize,
{
    CurvePoint::from_sec1_bytes(point).map_err(|_| MALFORMED)
}

fn verify<C>(point: &CurvePoint<C>, data: &[u8], signature: &[u8]) -> Option<()>
where
    C: PrimeCurve + CurveArithmetic,
    SignatureSize<C>: ArrayLength<u8>,
{
    let mut reader = SliceReader::new(signature).ok()?;
    let (r, s) =
        reader.sequence(|pair| Ok((UintRef::decode(pair)?, UintRef::decode(pair)?))).ok()?;
    let (r, s) = reader.finish((field::<C>(r.as_bytes())?, field::<C>(s.as_bytes())?)).ok()?;
    let signature = Signature::<C>::from_scalars(r, s).ok()?;
    let point = ProjectivePoint::<C>::from(*point.as_affine());
    verify_prehashed(&point, &digest::<C>(data), &signature).ok()
}

fn sign_on<C>(secret: &[u8], data: &[u8]) -> Option<Vec<u8>>
where
    C: PrimeCurve + CurveArithmetic,
    SignatureSize<C>: ArrayLength<u8>,
{
    let secret = SecretKey::<C>::from_bytes(&Zeroizing::new(field::<C>(secret)?)).ok()?;
    let secret = Zeroizing::new(secret.to_nonzero_scalar());
    // A new random number for each signature, as OpenSSL does.
    let once = Zeroizing::new(NonZeroScalar::<C>::random(&mut OsRng));
    let (signature, _) = sign_prehashed::<C, _>(&secret, **once, &digest::<C>(data)).ok()?;
    let (r, s) = signature.split_bytes();
    let (r, s) = (UintRef::new(&r).ok()?, UintRef::new(&s).ok()?);
    let length = (r.encoded_len().ok()? + s.encoded_len().ok()?).ok()?;
    let mut buffer = [0; LONGEST_SIGNATURE];
    let mut writer = SliceWriter::new(&mut buffer);
    let written = writer.sequence(length, |pair| {
        r.encode(pair)?;
        s.encode(pair)
    });
    written.ok()?;
    Some(writer.finish().ok()?.to_vec())
}

/// A number with as many bytes as those of the curve's field have; `None` when it is larger.
fn field<C: PrimeCurve>(number: &[u8]) -> Option<FieldBytes<C>> {
    let mut field = FieldBytes::<C>::default();
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let digits = &number[start..];
    let place = field.len().checked_sub(digits.len())?;
    field[place..].copy_from_slice(digits);
    Some(field)
}

/// The digest as a number of the field. Of one that is longer than the field's numbers the first
/// bytes count (FIPS 186-5, 6.4); the crates refuse one that is shorter by more than half.
fn digest<C: PrimeCurve>(data: &[u8]) -> FieldBytes<C> {
    let digest = Checksum::of(data);
    let mut field = FieldBytes::<C>::default();
    let length = field.len().min(digest.as_bytes().len());
    let place = field.len() - length;
    field[place..].copy_from_slice(&digest.as_bytes()[..length]);
    field
}
