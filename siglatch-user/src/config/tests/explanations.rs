//! Every code is explained, and each example gives the finding, or does not.

use super::*;

#[test]
fn every_code_is_explained_by_examples_that_give_it_and_do_not() {
    let mut wrong = String::new();
    // What programs are fit for is a matter of the machine: tests of `check` look for that one.
    for code in Code::ALL.iter().filter(|code| **code != Code::UnfitProgram) {
        let explanation = code.explanation();
        let has = |example: &str| {
            let text = with(*code, example);
            let found = findings(&text);
            (found.iter().any(|finding| finding.code == *code), Report::new("test", &*text, found).lines())
        };
        let (given, report) = has(explanation.wrong);
        if !given {
            wrong += &format!("{}: not given by\n{}{report}\n", code.label(), explanation.wrong);
        }
        let (given, report) = has(explanation.right);
        if given {
            wrong += &format!("{}: given by\n{}{report}\n", code.label(), explanation.right);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_right_is_right_altogether() {
    for code in Code::ALL {
        let text = with(*code, code.explanation().right);
        let errors = findings(&text).into_iter().filter(|finding| finding.severity() == Severity::Error);
        assert_eq!(errors.map(|finding| finding.message).collect::<Vec<_>>(), [""; 0], "{}", code.label());
    }
}

#[test]
fn a_code_is_found_by_its_name_and_near_it() {
    assert_eq!(Code::named("no-rate"), Some(Code::NoRate));
    assert_eq!((Code::named("no-rates"), Code::nearest("no-rates")), (None, Some("no-rate")));
    assert_eq!(Code::nearest("something-else-entirely"), None);
    assert!(Code::ALL.iter().all(|code| !code.explanation().in_short().contains('\n')));
}

/// The sound text with the example's tables in place of its own.
fn with(code: Code, example: &str) -> String {
    let more: String = (1..=16).map(|number| format!("[[port]]\nport = {number}\n")).collect();
    let example = example.replace("# and sixteen more\n", &more);
    let header = |block: &str| block.lines().next().unwrap_or_default().to_owned();
    let replaced: Vec<String> = blocks(&example).iter().map(|block| header(block)).collect();
    let is_left_out = |block: &str| {
        code == Code::NoUsers && block.starts_with("[user.") || code == Code::NoPort && block.starts_with("[[port]]")
    };
    let kept = blocks(SOUND).into_iter().filter(|block| !replaced.contains(&header(block)) && !is_left_out(block));
    kept.collect::<String>() + &example
}

/// The tables of a text, each with its header.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match blocks.last_mut() {
            Some(block) if !line.starts_with('[') => block.push_str(line),
            Some(_) | None => blocks.push(line.to_owned()),
        }
    }
    blocks
}
