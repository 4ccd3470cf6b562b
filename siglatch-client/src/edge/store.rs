//! The folder of profiles: where it is, what is in it. Never judges what a profile says.

use std::env;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files::{self, Overwrite};
use crate::failure::Failure;
use crate::gateway_name::GatewayName;

/// The user's profiles, one file each.
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// The folder `siglatch` under `XDG_CONFIG_HOME` if that is absolute, else under `.config` at home.
    ///
    /// # Errors
    /// [`Failure::Homeless`] if neither is known.
    pub(crate) fn of_user() -> Result<Self, Failure> {
        let configured = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let at_home = || Some(env::home_dir().filter(|home| home.is_absolute())?.join(".config"));
        let base = configured.or_else(at_home).ok_or(Failure::Homeless)?;
        Ok(Self { folder: base.join("siglatch") })
    }

    /// Where the profiles live.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A profile's file.
    pub(crate) fn path(&self, gateway: &GatewayName) -> PathBuf {
        self.folder.join(format!("{gateway}.{EXTENSION}"))
    }

    /// The names of all profiles, and the files that can be none.
    pub(crate) fn names(&self) -> Result<Vec<Result<GatewayName, Failure>>, Failure> {
        let paths = files::with_extension(&self.folder, EXTENSION)?;
        let is_hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let name = |path: PathBuf| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            stem.ok_or(Failure::Misnamed { path })
        };
        Ok(paths.into_iter().filter(|path| !is_hidden(path)).map(name).collect())
    }

    /// The text of a profile.
    pub(crate) fn load(&self, gateway: &GatewayName) -> Result<Zeroizing<Vec<u8>>, Failure> {
        files::read_private(&self.path(gateway)).map_err(|failure| match failure {
            Failure::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Failure::NoProfile {
                gateway: gateway.clone(),
                known: self.names().unwrap_or_default().into_iter().flatten().collect(),
                folder: self.folder.clone(),
            },
            other => other,
        })
    }

    /// Keeps the text of a profile; gives back its file.
    pub(crate) fn keep(&self, gateway: &GatewayName, text: &[u8], overwrite: Overwrite) -> Result<PathBuf, Failure> {
        let path = self.path(gateway);
        files::make_private_folder(&self.folder)?;
        match files::put_private(&path, text, overwrite) {
            Ok(()) => Ok(path),
            Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Failure::ProfileExists { gateway: gateway.clone(), path })
            }
            Err(source) => Err(files::failure("write", &path, source)),
        }
    }
}

const EXTENSION: &str = "toml";
