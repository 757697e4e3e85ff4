//! Whoever connects to the page and says nothing, as any user of the machine can.

use std::{io::Read as _, time::Duration};

use everleaf::web::Limits;

use crate::page::Page;

#[test]
fn who_says_nothing_is_let_go() {
    let patience = Duration::from_millis(100);
    let page = Page::limited(Limits { connections: 3, patience, ..Limits::default() });
    // As many as there is room for: who comes next is answered once they are let go.
    let silent = [page.half_say(), page.half_say(), page.half_say()];
    assert_eq!(page.get("list").status, 200);
    for mut stream in silent {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
    }
}

#[test]
fn who_says_nothing_keeps_the_page_from_ending_no_longer_than_a_moment() {
    let grace = Duration::from_millis(50);
    let mut page = Page::limited(Limits { grace, ..Limits::default() });
    let mut silent = page.half_say();
    // Who came before is in by now.
    assert_eq!(page.get("list").status, 200);
    page.stop();
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer);
    assert_eq!(answer, b"");
}
