//! Whoever edits lines touches no other line, however alike they are.

use proptest::{prelude::*, sample::select};

use super::{Body, body, copy, edit, note};

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
    /// It gets more at its end.
    Grows,
    /// Another comes before it.
    Follows,
    /// Another takes its place, with letters and a word that this one has, too.
    Yields,
}

/// The text after what happened to its lines; by whom is what `of` says.
fn text(lines: &[(String, Fate, bool)], of: impl Fn(bool) -> bool) -> String {
    let line = |(number, (line, fate, who)): (usize, &(String, Fate, bool))| match fate {
        _ if !of(*who) => format!("{line}\n"),
        Fate::Stays => format!("{line}\n"),
        Fate::Goes => String::new(),
        Fate::Grows => format!("{line} done\n"),
        Fate::Yields => {
            let mark = line.split_inclusive(' ').next().unwrap_or_default();
            format!("{mark}quite another thing {number} to note\n")
        }
        Fate::Follows => {
            let mark = line.split_inclusive(' ').next().unwrap_or_default();
            format!("{mark}t{number}new\n{line}\n")
        }
    };
    lines.iter().enumerate().map(line).collect()
}

/// What two make of one note, each without knowing of the other.
fn merged(base: &str, ours: &str, theirs: &str) -> Body {
    let (mut one, _) = note(base, 1);
    let mut other = copy(&one, 2);
    edit(&mut one, ours);
    if let Some(change) = edit(&mut other, theirs) {
        one.apply(&[&change.bytes]).unwrap();
    }
    one.body().clone()
}

/// That two who make these sources of one note come to have `merged`, whoever of them is which.
fn merge(base: &str, [one, other]: [&str; 2], merged: &str) {
    assert_eq!(self::merged(base, one, other).source(), merged);
    assert_eq!(self::merged(base, other, one).source(), merged);
}

/// The lines of a body, in the order of what they are.
fn sorted(body: &Body) -> Vec<String> {
    let mut lines: Vec<String> = body.source().lines().map(Into::into).collect();
    lines.sort_unstable();
    lines
}

fn lines() -> impl Strategy<Value = Vec<(String, Fate, bool)>> {
    let mark = select(vec!["", "- [ ] ", "## ", "| ", "> ", "buy t"]);
    let word = select(vec!["tea", "toast", "tuna", "to"]);
    let fates = [Fate::Stays, Fate::Goes, Fate::Grows, Fate::Follows, Fate::Yields];
    let fate = select(fates.to_vec());
    let line = (word, fate, any::<bool>());
    (mark, prop::collection::vec(line, 1..9)).prop_map(|(mark, lines)| {
        // Each is another, but they look alike.
        let line = |(number, (word, fate, who))| (format!("{mark}{word}{number}"), fate, who);
        lines.into_iter().enumerate().map(line).collect()
    })
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn edits_of_different_lines_are_both_made_whole(lines in lines(), with_image in any::<bool>()) {
        let whole = |text: String| if with_image { format!("![](a.png)\n{text}") } else { text };
        let by = |of: &dyn Fn(bool) -> bool| whole(text(&lines, of));
        let merged = merged(&by(&|_| false), &by(&|who| who), &by(&|who| !who));
        let all = body(&by(&|_| true));
        if lines.iter().all(|(_, fate, _)| *fate != Fate::Yields) {
            prop_assert_eq!(merged, all);
        } else {
            // What takes the place of a line, and what comes before the next, may change places.
            prop_assert_eq!(sorted(&merged), sorted(&all));
        }
    }
}

/// As people wrote it: two who edit one list.
#[test]
fn a_task_that_goes_leaves_the_next_one_its_mark() {
    let list = "# Buy\n\n- [ ] milk\n- [ ] bread\n- [ ] salt\n";
    for (new, theirs, merged) in [
        (
            "# Buy\n\n- [ ] milk\n- [ ] salt\n",
            list.replace("] salt", "] sea salt"),
            "# Buy\n\n- [ ] milk\n- [ ] sea salt\n",
        ),
        (
            "# Buy\n\n- [ ] milk\n- [ ] salt\n",
            list.replace("[ ] salt", "[x] salt"),
            "# Buy\n\n- [ ] milk\n- [x] salt\n",
        ),
        (
            "# Buy\n\n- [ ] milk\n- [ ] salt\n",
            list.replace("- [ ] bread", ""),
            "# Buy\n\n- [ ] milk\n- [ ] salt\n",
        ),
        (
            "# Buy\n\n- [ ] ham\n- [ ] milk\n- [ ] bread\n- [ ] salt\n",
            list.replace("[ ] milk", "[x] milk"),
            "# Buy\n\n- [ ] ham\n- [x] milk\n- [ ] bread\n- [ ] salt\n",
        ),
    ] {
        assert_ne!(theirs, list);
        assert_eq!(self::merged(list, new, &theirs).source(), merged);
    }
}

/// Were the letters kept that both lines happen to have, whoever takes the old one away would take them out of
/// the new one.
#[test]
fn a_line_in_the_place_of_another_keeps_its_letters() {
    for (base, ours, theirs, merged) in [
        (
            "Buy milk today\nend\n",
            "Book my table for dinner\nend\n",
            "end\n",
            "Book my table for dinner\nend\n",
        ),
        (
            "The meeting is on Monday.\nend\n",
            "Our train leaves at nine from platform two.\nend\n",
            "end\n",
            "Our train leaves at nine from platform two.\nend\n",
        ),
        ("Shopping list\nmilk\n", "Groceries\nmilk\n", "milk\n", "Groceries\nmilk\n"),
        ("- milk\n- bread\n", "- cheese\n- bread\n", "- bread\n", "- cheese\n- bread\n"),
        ("Plan\ncall Anna\nend\n", "Plan\nmeeting\nend\n", "Plan\nend\n", "Plan\nmeeting\nend\n"),
        // In a line that mostly stays, what both wrote is there.
        (
            "We meet on monday at the lake\n",
            "We meet on friday at the lake\n",
            "We meet on monday at the lake with Anna\n",
            "We meet on friday at the lake with Anna\n",
        ),
        // Where no spaces are between words, each character is one.
        ("这是一句话\n", "这是两句话\n", "这是一句长话\n", "这是两句长话\n"),
    ] {
        merge(base, [ours, theirs], merged);
    }
}

/// Two lines in the place of one are two lines.
#[test]
fn two_lines_in_the_place_of_one_are_both_whole() {
    let base = "Buy milk today\nend\n";
    let (ours, theirs) = ("Book my table for dinner\nend\n", "Pay the rent on Friday\nend\n");
    let merged = self::merged(base, ours, theirs);
    assert_eq!(sorted(&merged), ["Book my table for dinner", "Pay the rent on Friday", "end"]);
}

/// What two do to one line may tear that line, and no other.
#[test]
fn two_who_touch_one_line_tear_no_other() {
    for (base, ours, theirs, next) in [
        (
            "- [ ] milk\n- [ ] eggs\n",
            "- [x] milk\n- [ ] eggs\n",
            "- [ ] cheese\n- [ ] eggs\n",
            "- [ ] eggs",
        ),
        (
            "see mlk\n```\ncode\n```\n",
            "see milk\n```\ncode\n```\n",
            "order all\n```\ncode\n```\n",
            "```",
        ),
        (
            "Met anna.\n# Next\n",
            "Met Anna. We talked of the garden, and she is going to call.\n# Next\n",
            "Met anna. She sends her regards.\n# Next\n",
            "# Next",
        ),
        ("- [ ] 茶\n- [ ] 米\n", "- [x] 茶\n- [ ] 米\n", "- [ ] 咖啡\n- [ ] 米\n", "- [ ] 米"),
    ] {
        for (ours, theirs) in [(ours, theirs), (theirs, ours)] {
            let merged = self::merged(base, ours, theirs).source();
            assert_eq!(merged.lines().nth(1), Some(next), "{merged:?}");
        }
    }
    // Where more than half of the line stays, it is still that line, with what both did to it.
    for (base, ours, theirs, merged) in [
        (
            "- [ ] milk\nend\n",
            "- [x] milk\nend\n",
            "- [ ] oat milk from the shop\nend\n",
            "- [x] oat milk from the shop\nend\n",
        ),
        ("| 1 | 2 |\n", "| 1 | 3 |\n", "| 4 | 2 |\n", "| 4 | 3 |\n"),
        ("a: 1\n", "a: 3\n", "c: 1\n", "c: 3\n"),
    ] {
        merge(base, [ours, theirs], merged);
    }
}

/// A text area saves no line break behind the last line.
#[test]
fn the_last_line_needs_no_line_break() {
    for (base, ours, theirs, merged) in [
        ("L one\nL two", "L one", "L one\nother thing", "L one\nother thing"),
        ("one\ntwo\nthree", "one\ntwo\nanother thing", "one\ntwo", "one\ntwo\nanother thing"),
        ("one\ntwo", "one\nanother thing\n", "one", "one\nanother thing\n"),
    ] {
        merge(base, [ours, theirs], merged);
    }
    // What one writes behind the line above stays there, and what one writes behind the last line out of it.
    let ours = "shopping\nbread and eggs";
    for (theirs, above) in
        [("shopping list\nmilk", "shopping list"), ("shopping\nmilk, 2 l", "shopping")]
    {
        for (ours, theirs) in [(ours, theirs), (theirs, ours)] {
            let merged = self::merged("shopping\nmilk", ours, theirs).source();
            assert_eq!(merged.lines().next(), Some(above), "{merged:?}");
        }
    }
    let merged = self::merged("one\nold words", "one\nomega psi", "one\ngamma delta");
    assert_eq!(sorted(&merged), ["gamma delta", "omega psi", "one"]);
}

/// A line break that goes with the last line is no place for what another puts before it.
#[test]
fn the_last_line_is_replaced_beside_what_comes_above_a_blank_line() {
    let base = "- a\n- b\n\nlast words";
    let (ours, theirs) =
        (base.replace("last words", "fresh ending"), base.replace("b\n", "b\n- c\n"));
    for (ours, theirs) in [(&ours, &theirs), (&theirs, &ours)] {
        let merged = self::merged(base, ours, theirs).source();
        assert_eq!(merged, "- a\n- b\n- c\n\nfresh ending");
    }
}

/// What somebody writes on a blank line is glued to nothing: neither to a line that another puts before it, nor to what
/// another writes there.
#[test]
fn what_fills_a_blank_line_is_a_line() {
    for (base, ours, theirs, merged) in [
        (
            "- a\n- b\n\n## Next\n",
            "- a\n- b\ntyped here\n## Next\n",
            "- a\n- b\n- c\n\n## Next\n",
            "- a\n- b\n- c\ntyped here\n## Next\n",
        ),
        ("a\n---\nb\n", "a\nOther line\nb\n", "a\n- x\n---\nb\n", "a\n- x\nOther line\nb\n"),
        ("a\n\n\nb\n", "a\none\ntwo\nb\n", "a\n- x\n\n\nb\n", "a\n- x\none\ntwo\nb\n"),
        ("a\n \nb\n", "a\n\tone\nb\n", "a\n- x\n \nb\n", "a\n- x\n\tone\nb\n"),
    ] {
        merge(base, [ours, theirs], merged);
    }
    let merged = self::merged("a\n\nb\n", "a\nfoo\nb\n", "a\nbar\nb\n");
    assert_eq!(sorted(&merged), ["a", "b", "bar", "foo"]);
}

/// Of a table that was laid out anew, with more words than are compared with one another, only spaces are new.
#[test]
fn what_another_writes_in_a_table_that_is_laid_out_anew_stays_in_its_cell() {
    let table = |space: &str, row: usize, more: &str| -> String {
        let line = |at: usize| -> String {
            let cells = (0..8).map(|column| {
                let more = if (at, column) == (row, 3) { more } else { "" };
                format!("| cell{at}{more} {column} {space}")
            });
            cells.chain(["|\n".to_owned()]).collect()
        };
        (0..300).map(line).collect()
    };
    let merged = merged(&table("", 0, ""), &table("   ", 0, ""), &table("", 150, " and more"));
    assert_eq!(merged.source(), table("   ", 150, " and more"));
}

/// Lines that do not look alike but for their marks.
const LINES: [&str; 7] =
    ["tea and milk", "toast", "four eggs", "ham", "brown bread", "salt", "sweet apples"];

/// What becomes of lines, by each of two devices.
fn fates() -> impl Strategy<Value = Vec<(String, [Fate; 2])>> {
    let fates = [Fate::Stays, Fate::Stays, Fate::Goes, Fate::Grows, Fate::Yields];
    let fate = || select(fates.to_vec());
    let mark = select(vec!["- [ ] ", "## ", "> "]);
    (mark, prop::collection::vec((fate(), fate()), 1..=LINES.len())).prop_map(|(mark, lines)| {
        // Of a line that goes, what the other adds to it is left, and it is nobody's line.
        let fates = |one, other| match (one, other) {
            (Fate::Goes, Fate::Grows) => [one, Fate::Stays],
            (Fate::Grows, Fate::Goes) => [Fate::Stays, other],
            fates => fates.into(),
        };
        let line = |(word, (one, other))| (format!("{mark}{word}"), fates(one, other));
        LINES.iter().zip(lines).map(line).collect()
    })
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// Both may touch a line; those that neither does are whole.
    #[test]
    fn whatever_two_do_to_lines_the_others_are_whole(lines in fates()) {
        let by = |who: usize| -> String {
            let all: Vec<_> =
                lines.iter().map(|(line, fates)| (line.clone(), fates[who], true)).collect();
            text(&all, |_| true)
        };
        let all: Vec<_> = lines.iter().map(|(line, _)| (line.clone(), Fate::Stays, true)).collect();
        let base = text(&all, |_| true);
        let merged = merged(&base, &by(0), &by(1)).source();
        let untouched = lines.iter().filter(|(_, fates)| *fates == [Fate::Stays; 2]);
        let mut rest = merged.lines();
        for (line, _) in untouched {
            prop_assert!(rest.any(|other| other == line), "{line:?} in {merged:?} of {base:?}");
        }
    }
}
