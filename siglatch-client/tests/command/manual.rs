//! What packages ship beside the command: manual pages and completions.

use std::fs;

use super::stage::Home;

#[test]
fn every_command_has_a_manual_page_with_its_examples() {
    let home = Home::empty();
    let out = home.run(&["man", "--dir", &home.path(".")]);
    assert_eq!(out.code(), 0, "{out:?}");
    for command in ["import", "list", "knock", "sequence", "keygen"] {
        let page = fs::read_to_string(home.path(&format!("siglatch-{command}.1"))).unwrap();
        assert!(page.contains(&format!("\n.SH EXAMPLES\n.nf\n  siglatch {command}")), "{page}");
    }
    assert!(fs::metadata(home.path("siglatch.1")).is_ok() && fs::metadata(home.path("siglatch-man.1")).is_err());
    home.fails(&["man", "--dir", &home.path("missing")], &["cannot write", "missing"]);
}

#[test]
fn each_shell_gets_completions_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let out = Home::empty().run(&["completions", shell]);
        assert_eq!(out.code(), 0, "{out:?}");
        for word in ["knock", "sequence", "gate-key-number"] {
            assert!(out.stdout().contains(word), "{shell}: {word}");
        }
    }
}
