//! Trouble on a local folder: a full disk, a read-only one, a folder that may not be written to. Clear errors, nothing
//! lost, and the next run is fine.

use std::path::Path;
use std::process::Command;

use crate::kit::Project;
use crate::servers::skip;
use crate::small::{self, content};

/// A small file system in memory, gone with this value.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None`, said out loud, where it cannot be mounted.
    fn mount(test: &str) -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Disk { folder }),
            Ok(output) => {
                skip(test, &format!("mount: {}", String::from_utf8_lossy(&output.stderr).trim()));
                None
            }
            Err(error) => {
                skip(test, &format!("mount: {error}"));
                None
            }
        }
    }

    fn remount(&self, how: &str) {
        let option = format!("remount,{how}");
        assert!(
            Command::new("mount").args(["-o", &option]).arg(self.folder.path()).status().unwrap().success()
        );
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

/// The small project before its second run, with its lake in `folder`.
fn project(folder: &Path) -> Project {
    let project = small::project();
    let settings = format!("name: small\nlake: {}/lake\nretries: {{attempts: 1}}\n", folder.display());
    project.put("laguna.yml", settings.as_bytes());
    project.ok(&["run"]);
    small::second_files(&project);
    project
}

/// What the lake holds after an undisturbed second run.
fn expected() -> small::Content {
    let folder = tempfile::tempdir().unwrap();
    let project = project(folder.path());
    project.ok(&["run"]);
    content(&project)
}

#[test]
fn a_full_disk_is_said_and_costs_nothing() {
    let Some(disk) = Disk::mount("full disk") else { return };
    let project = project(disk.folder.path());
    let before = content(&project);
    let filler = disk.folder.path().join("filler");
    let copied = std::fs::write(&filler, vec![1; 17 << 20]);
    assert_eq!(copied.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let said = project.laguna(&["run"]);
    assert_eq!(said.code, 3, "{}\n{}", said.stdout, said.stderr);
    assert!((said.stdout + &said.stderr).contains("disk is full"), "{}", said.stderr);
    assert_eq!(content(&project), before);
    std::fs::remove_file(&filler).unwrap();
    project.ok(&["run"]);
    assert_eq!(content(&project), expected());
}

#[test]
fn a_read_only_disk_is_said_and_can_be_read() {
    let Some(disk) = Disk::mount("read-only disk") else { return };
    let project = project(disk.folder.path());
    let before = content(&project);
    disk.remount("ro");
    let said = project.fails(3, &["run"]);
    assert!(said.contains("read-only"), "{said}");
    assert_eq!(content(&project), before);
    disk.remount("rw");
    project.ok(&["run"]);
    assert_eq!(content(&project), expected());
}

#[test]
#[cfg(unix)]
fn a_folder_that_may_not_be_written_to_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let project = project(folder.path());
    let lake = folder.path().join("lake");
    let permit = |mode| {
        for below in ["_laguna", "_laguna/leases", "_laguna/tmp", "_laguna/releases", "_laguna/runs", ""] {
            let below = lake.join(below);
            if below.exists() {
                std::fs::set_permissions(below, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        std::fs::set_permissions(lake.join("_laguna/leases/run.lock"), std::fs::Permissions::from_mode(mode))
            .unwrap();
    };
    permit(0o555);
    // The administrator may write everywhere, unless that right is given up.
    let bare = project.command(&["run"]);
    let mut command = Command::new("setpriv");
    command
        .arg("--bounding-set=-dac_override,-dac_read_search")
        .arg(bare.get_program())
        .args(bare.get_args());
    command.current_dir(project.path()).env("NO_COLOR", "1");
    let output = match Command::new("test").args(["-w"]).arg(&lake).status().unwrap().success() {
        true => command.output(),
        false => project.command(&["run"]).output(),
    };
    permit(0o755);
    let Ok(output) = output else { return skip("folder without permission", "there is no setpriv") };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("permission denied"), "{said}");
    project.ok(&["run"]);
    assert_eq!(content(&project), expected());
}
