//! A provider in these tests, which signs what it is told to.

mod caches;
mod flows;
mod tokens;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};

use super::keys::{Keys, Set};
use super::*;

/// A moment, in seconds since 1970.
const NOW: Timestamp = 1_800_000_000;

/// A key that signs nothing but these tests.
const RSA: &str = "\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDesBam/A+DwreLQVHVmR+0Q+x8D3GMy5P5gWMxAO\
    5j1GHNARb2iRG6/zAUBv/SNh4Q3pZVqKZgNSIjjwwdVKDX3XnR3JToN8lrjr6SMqH5QTBRmBSn0l68AK3q/qOAucZy\
    jx0lOtC8y3QG3cxSzzp7AytOtFleKy4Og1+YSSjUSZS0VpdWGs8k7p1jP02tdoEnljgLsU1i40b791SjNopyB4Hum1\
    INllZ/Cz28ZukY1QoZzI808as0UJ0zmng1VEZLG+yrvbTTLrZFylWlX/WaKxcIqUlGYts1hFXWvk73BhM2byTPehEZ\
    OThGCyiBOpqFhfyMgQnHCUetkQOZ7RLXAgMBAAECggEAB5r/aw7dWxIYiq9LSDVqBzaoYP+/K+mO46hTncqNNTFY3u\
    XUWBYMEPnCx76cT0EPoBmVefrkk8gF7C2M0F8Pjz2Hed0fUfXjg8KbueX0OjsU4IbPclver0ddhK5BIZYSIZZZs1WG\
    VdDtCYgkAJt0ZZKQ/l6SejoCvK1MiDry2prj066QUynTIK7SqORUP130ob5Sh0IbWTKfvHoVw61Z+FSo4yiOV0QK2M\
    PpYHtyY0QCXMkE6vTRd+rplhV2ac0B4K1FeprAgaIagOoxiVgi2lhKhM9pyfAFKdrdYFH+om2sFNfx1cDDtP+VazIA\
    qXCVfnjkOa9fD8N9AxXUHpxMoQKBgQD8/z8L6hG9sOpYc3yx2mJpFxNzJzECNqmGTNiz4tDq2m+UOqDQX+GKY+WGjN\
    HIYMuxl+gCbDlrxexJmyTrYJGHTSqn56ZV5B7DlWEiI8L8Ma5NBIHepBVXm+na4l5viqvFF6bnsD7qAPVXrsmd1xY2\
    s//Q1j7UjFmNdy0UzneV/QKBgQDhVL65j928h7oqTcroyJDLLLvLP1bBe0bpw+QCMSwNZOcyacPT+3gJL+BjnZ0I0K\
    m9U4+F2+6TVGbmRYAUubRGFif8j8esNMKdtSrl2ciLU3mvGCDHnKvcRRg/giN49jgZJ8xgao0B94mY53Lm4WvyNOtc\
    PQD2Y+VchjEtOZn6YwKBgBlDI3h9FuhqEfxjC8B2nf0AYODOuQYPjz3pznmn3FSXGy0h7YzhBhRbhT+6L/hiMfS5xm\
    D3jYRFbyKqazVVnzJzch7x8poA/VFqSRivmXi1PUJTgORKXhcxaliA4g0hO6Wihvf7kUysa9MlkNxB7eXoc1LXEc8H\
    dKm7jLTXKPnBAoGAWGdXLJY0+HKHp3E92nZV2GCEjQkckGw9NhmUqwd/sQGVc0Hrgo92WKRf9LUxlvPGpHDULkBLKa\
    JDfLRnu7nf8F9g8MW4IOfSMu2RFvyKoZ7ubrOYqLfe9VxmVwRHxn1TJQtoM6uaBtuHMGYdvldScoQwks+cQQ6QPeyn\
    /oZK0uECgYEAn6mwGh8s0KcW9l8dC4p9AqPEokQMvG0euvn/oHUcKUM3HyO47bAPj61dFYYX+HL5xqmnCG5hGbbm63\
    ApnuEgV8Q1QLmKJ8if0sfadlvnW/6UxL2XHChP474vsrWRod4T7qEmCQsIQqlaCAq3jpFMM6pF9v0dp07Iz+CS8ZNe\
    Y8Y=";

fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// One key of the provider, with its id.
struct Signer(&'static str, Private);

enum Private {
    Rs256(Box<RsaKeyPair>),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Signer {
    fn rs256(id: &'static str) -> Self {
        let der = BASE64_STANDARD.decode(RSA).unwrap();
        Signer(id, Private::Rs256(Box::new(RsaKeyPair::from_pkcs8(&der).unwrap())))
    }

    fn es256(id: &'static str) -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let der = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Signer(id, Private::Es256(EcdsaKeyPair::from_pkcs8(kind, der.as_ref(), &random).unwrap()))
    }

    fn eddsa(id: &'static str, seed: u8) -> Self {
        Signer(id, Private::EdDsa(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()))
    }

    fn algorithm(&self) -> &'static str {
        match self.1 {
            Private::Rs256(_) => "RS256",
            Private::Es256(_) => "ES256",
            Private::EdDsa(_) => "EdDSA",
        }
    }

    fn jwk(&self) -> Value {
        let mut jwk = match &self.1 {
            Private::Rs256(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (public.n, public.e);
                json!({"kty": "RSA", "n": base64(n), "e": base64(e)})
            }
            Private::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y)})
            }
            Private::EdDsa(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key())})
            }
        };
        jwk["kid"] = self.0.into();
        jwk["use"] = "sig".into();
        jwk
    }

    fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "kid": self.0, "typ": "JWT"})
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = match &self.1 {
            Private::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Private::Es256(pair) => {
                pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec()
            }
            Private::EdDsa(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", base64(signature))
    }
}

fn set(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()})
}

fn keys(set: &Value) -> Option<Keys> {
    Keys::of(serde_json::from_value::<Set>(set.clone()).unwrap())
}

/// How the server answers at one path.
#[derive(Clone)]
enum Page {
    Is(u16, &'static str, String),
    /// Sends this as it is.
    Raw(String),
    /// Sends nothing.
    Silent,
}

impl Page {
    fn json(value: &Value) -> Self {
        Page::Is(200, "application/json; charset=utf-8", value.to_string())
    }

    fn refusal(status: u16, error: &str) -> Self {
        Page::Is(status, "application/json", json!({"error": error}).to_string())
    }
}

/// A server on this machine that answers as it is told, and keeps what it was asked.
#[derive(Clone)]
struct Server {
    url: String,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server { url, pages: Arc::default(), asked: Arc::default() };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                thread::spawn(move || serving.answer(stream.unwrap()));
            }
        });
        server
    }

    fn set(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    /// Returns how often a path was asked.
    fn count(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        let is_of = |request: &&String| request.split(' ').nth(1) == Some(path);
        asked.iter().filter(is_of).count()
    }

    /// Returns the last request, with its headers and its body.
    fn last(&self, path: &str) -> String {
        let asked = self.asked.lock().unwrap();
        let is_of = |request: &&String| request.split(' ').nth(1) == Some(path);
        asked.iter().rfind(is_of).unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut request = Vec::new();
        let mut part = [0; 4096];
        loop {
            let count = stream.read(&mut part).ok()?;
            request.extend(&part[..count]);
            let text = String::from_utf8_lossy(&request).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                if count == 0 {
                    return None;
                }
                continue;
            };
            let length = head.split("content-length: ").nth(1).and_then(|v| v.lines().next());
            let length = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length || count == 0 {
                break;
            }
        }
        let request = String::from_utf8(request).unwrap();
        let path = request.split(' ').nth(1)?.to_owned();
        self.asked.lock().unwrap().push(request);
        let page = self.pages.lock().unwrap().get(&path).cloned();
        let text = match page.unwrap_or(Page::Is(404, "text/html", "no".into())) {
            Page::Is(status, kind, body) => format!(
                "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
            Page::Raw(text) => text,
            Page::Silent => {
                // Until the other side gives up.
                stream.read_to_end(&mut Vec::new()).ok();
                return None;
            }
        };
        stream.write_all(text.as_bytes()).ok()
    }
}

/// An OpenID provider with its server, and this site's view of it.
struct Fake {
    server: Server,
    signer: Signer,
    provider: Provider,
}

const METADATA: &str = "/.well-known/openid-configuration";

impl Fake {
    fn new() -> Self {
        Self::configured("{}")
    }

    /// `config` are more keys of the provider, as JSON.
    fn configured(config: &str) -> Self {
        let server = Server::new();
        let mut config: Value = serde_json::from_str(config).unwrap();
        config["issuer"] = server.url.clone().into();
        config["client_id"] = "site".into();
        let config: ProviderConfig = serde_json::from_value(config).unwrap();
        let provider = Provider::new("acme", &config).unwrap();
        let fake = Fake { server, signer: Signer::eddsa("one", 1), provider };
        fake.server.set(METADATA, Page::json(&fake.metadata()));
        fake.server.set("/keys", Page::json(&set(&[&fake.signer])));
        fake.say(&fake.claims());
        fake
    }

    fn metadata(&self) -> Value {
        let url = &self.server.url;
        json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize?tenant=1"),
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"),
            "userinfo_endpoint": format!("{url}/me"),
            "end_session_endpoint": format!("{url}/end?x=1"),
        })
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.server.url, "aud": "site", "sub": "u1", "nonce": "n0", "sid": "s1",
            "iat": NOW, "exp": NOW + 300, "email": " ann@example.org ", "email_verified": true,
        })
    }

    /// Lets the token address answer with an id token of these claims.
    fn say(&self, claims: &Value) {
        self.say_token(&self.signer.sign(claims));
    }

    fn say_token(&self, token: &str) {
        let answer =
            json!({"access_token": "secret-access", "token_type": "Bearer", "id_token": token});
        self.server.set("/token", Page::json(&answer));
    }

    async fn brought(&self) -> Result<Brought, ProviderFailure> {
        self.brought_at(NOW).await
    }

    async fn brought_at(&self, now: Timestamp) -> Result<Brought, ProviderFailure> {
        self.provider.brought(KEPT, ANSWER, now).await
    }
}

const KEPT: Kept<'_> =
    Kept { callback: "http://localhost/back", nonce: "n0", verifier: "v0", is_again: false };

const ANSWER: Answer<'_> = Answer { code: Some("c0"), iss: None, error: None };

const ASK: Ask<'_> = Ask {
    callback: "http://localhost/back",
    state: "st&te",
    nonce: "n0",
    verifier: "v0",
    is_again: false,
};

fn pairs(url: &str) -> HashMap<String, String> {
    Url::parse(url).unwrap().query_pairs().into_owned().collect()
}
