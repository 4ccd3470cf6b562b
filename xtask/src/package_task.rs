//! `cargo xtask package`: builds the programs and packs them. What stands in a package is [`xtask::package`]'s to say.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use xtask::package::{self, Programs, Release, Squeeze, StaticTarget};
use xtask::programs::cargo_for_workspace;

use crate::progress::{Steps, detail, took};
use crate::setup::packaging;

/// What is to be packed.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which programs: built anew for release, or as `cargo build` has left them
    #[arg(long, default_value = "release")]
    profile: Profile,
    /// Where to put the packages [default: target/packages]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Behind the version, as in +test or ~rc1
    #[arg(long, default_value = "", value_name = "TEXT", allow_hyphen_values = true)]
    version_suffix: String,
    /// Only the Debian packages, or only the tarball of static programs [default: both; with --profile dev only deb]
    #[arg(long)]
    only: Option<Kind>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Profile {
    /// Optimised; takes some minutes
    Release,
    /// Quick, for tests
    Dev,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    /// The packages siglatch, siglatch-ctl and siglatch-client
    Deb,
    /// The tarball
    Static,
}

/// Builds and packs.
pub(crate) fn run(options: &Options) -> Result<()> {
    let release = Release::of_this_checkout(&options.version_suffix)?;
    let out = options.out.clone().unwrap_or_else(|| xtask::workspace_root().join("target/packages"));
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let debs = options.only != Some(Kind::Static);
    let tarball = options.only == Some(Kind::Static) || (options.only.is_none() && options.profile == Profile::Release);

    let mut steps = Steps::of(2 * (usize::from(debs) + usize::from(tarball)));
    if debs {
        steps.next("Programs", options.profile.folder());
        packaging::for_debs()?;
        let programs = options.profile.programs()?;
        steps.next("Debian packages", &release.debian());
        for deb in package::debs(&programs, &release, options.profile.squeeze(), &out)? {
            tell(&deb)?;
        }
    }
    if tarball {
        steps.next("Static programs", "linked with musl where it can be had");
        let target = packaging::for_static_programs();
        detail(target.triple());
        let programs = static_programs(target)?;
        steps.next("Tarball", &release.version);
        tell(&package::static_tarball(&programs, &release, target, &out)?)?;
    }
    detail(&format!("in all {}", took(steps.elapsed())));
    Ok(())
}

impl Profile {
    const fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "debug",
        }
    }

    fn programs(self) -> Result<Programs> {
        if self == Self::Release {
            build(&["--release"], "")?;
        }
        Programs::in_folder(&target_folder()?.join(self.folder()))
    }

    const fn squeeze(self) -> Squeeze {
        match self {
            Self::Release => Squeeze::Well,
            Self::Dev => Squeeze::Quickly,
        }
    }
}

/// In a folder of their own: with other flags for the same target everything would be built anew each time.
fn static_programs(target: StaticTarget) -> Result<Programs> {
    let folder = target_folder()?.join("static");
    let flags = match target {
        StaticTarget::Musl => "",
        StaticTarget::Glibc => "-C target-feature=+crt-static",
    };
    let shown = folder.to_str().context("the target folder's path is no text")?;
    build(&["--release", "--target", target.triple(), "--target-dir", shown], flags)?;
    Programs::in_folder(&folder.join(target.triple()).join("release"))
}

fn build(arguments: &[&str], flags: &str) -> Result<()> {
    let mut command = cargo_for_workspace();
    command.args(["build", "--package", "siglatch-user", "--package", "siglatch-client", "--bins"]).args(arguments);
    if !flags.is_empty() {
        command.env("RUSTFLAGS", flags);
    }
    if !command.status().context("cannot run cargo build")?.success() {
        bail!("siglatch does not build: see above");
    }
    Ok(())
}

/// The folder that this very program was built into, for any that cargo is set to use.
fn target_folder() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where xtask itself lies")?;
    Ok(own.ancestors().nth(2).context("xtask does not lie in a target folder")?.to_owned())
}

fn tell(file: &Path) -> Result<()> {
    let bytes = file.metadata()?.len();
    detail(&format!("{}, {} KiB", crate::shown(file), bytes.div_ceil(1024)));
    Ok(())
}
