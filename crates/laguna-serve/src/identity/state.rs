//! What the settings say of users, tokens and the OpenID provider, ready to be compared with.

use std::collections::BTreeMap;
use std::sync::Arc;

use laguna_base::settings::UserSettings;
use laguna_base::settings::serve::OidcSettings;
use laguna_base::{Clock, Error, Result};
use laguna_query::Access;

use super::oidc::Oidc;
use super::scram;
use super::secret::{Hash, Key, Secret};
use super::{ADMIN, TOKEN};
use crate::{Caller, Limits};

/// What the settings say.
pub(super) struct State {
    pub(super) anonymous: Option<Arc<Caller>>,
    pub(super) users: BTreeMap<String, User>,
    /// Tokens of users, and whose they are in the same order.
    pub(super) tokens: Arc<Vec<Arc<Secret>>>,
    pub(super) owners: Vec<Arc<Caller>>,
    pub(super) roles: BTreeMap<String, (Access, Limits)>,
    pub(super) oidc: Option<Arc<Oidc>>,
    /// Is compared with where there is no such user.
    pub(super) nobody: Arc<Hash>,
}

pub(super) struct User {
    pub(super) caller: Arc<Caller>,
    /// The password; the token of users without one.
    pub(super) secret: Arc<Secret>,
}

impl State {
    pub(super) fn new(
        users: &BTreeMap<String, UserSettings>,
        oidc: Option<&OidcSettings>,
        roles: &BTreeMap<String, (Access, Limits)>,
        key: &Arc<Key>,
        clock: &Arc<dyn Clock>,
    ) -> Result<State> {
        let mut state = State {
            anonymous: None,
            users: BTreeMap::new(),
            tokens: Arc::default(),
            owners: Vec::new(),
            roles: roles.clone(),
            oidc: None,
            nobody: Arc::new(Hash::stand_in(key)),
        };
        if users.is_empty() && oidc.is_none() {
            state.anonymous = Some(Arc::new(Caller {
                user: "anonymous".to_string(),
                role: ADMIN.to_string(),
                access: Access::everything(),
                limits: Limits::default(),
            }));
            return Ok(state);
        }
        let mut tokens = Vec::new();
        for (name, settings) in users {
            let whose = format!("the user `{name}`");
            let about = |error: Error| {
                let hint = error.hint_text().unwrap_or_default();
                Error::project(format!("{whose}: {}", error.message())).hint(hint)
            };
            if name == TOKEN || name.is_empty() {
                return Err(Error::project(format!("no user can be named `{name}`"))
                    .hint(format!("who logs in as `{TOKEN}` gives a bearer token as the password")));
            }
            let (access, limits) = state.role(&settings.role, &whose)?;
            let caller = Arc::new(Caller { user: name.clone(), role: settings.role.clone(), access, limits });
            // One salt for all tokens: a bearer token names nobody, so it is compared with all of them.
            let salt = |what: &[u8], of: &str| {
                let bytes = key.derive(&[what, of.as_bytes()]);
                std::array::from_fn(|place| bytes[place])
            };
            let token = settings.token.as_deref();
            let token = token.map(|text| Secret::new(text, salt(b"token salt", ""), None)).transpose();
            let token = token.map_err(about)?.map(Arc::new);
            let password = settings.password.as_deref();
            let password = password
                .map(|text| Secret::new(text, salt(b"password salt", name), Some(scram::salt(key, name))));
            let password = password.transpose().map_err(about)?.map(Arc::new);
            if let Some(token) = &token {
                tokens.push(token.clone());
                state.owners.push(caller.clone());
            }
            let Some(secret) = password.or(token) else {
                return Err(Error::project(format!("the user `{name}` has neither password nor token"))
                    .hint("write password: \"{{ env('NAME') }}\""));
            };
            state.users.insert(name.clone(), User { caller, secret });
        }
        state.tokens = Arc::new(tokens);
        if let Some(settings) = oidc {
            for (group, role) in &settings.groups {
                state.role(role, &format!("the group `{group}`"))?;
            }
            state.oidc = Some(Arc::new(Oidc::new(settings, clock.clone())?));
        }
        Ok(state)
    }

    /// Whether anybody logs in by SCRAM.
    pub(super) fn has_scram(&self) -> bool {
        self.users.values().any(|user| user.secret.has_scram())
    }

    /// What a role may read and use.
    pub(super) fn role(&self, role: &str, whose: &str) -> Result<(Access, Limits)> {
        match (self.roles.get(role), role) {
            (Some((access, limits)), _) => Ok((access.clone(), *limits)),
            (None, ADMIN) => Ok((Access::everything(), Limits::default())),
            (None, role) => {
                let known: Vec<&str> = self.roles.keys().map(String::as_str).chain([ADMIN]).collect();
                Err(Error::project(format!("{whose} has the role `{role}`, which there is not"))
                    .hint(laguna_base::suggest::hint(role, &known)))
            }
        }
    }
}
