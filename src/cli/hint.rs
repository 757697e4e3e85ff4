//! The library's hints in the words of the command.

use everleaf::vault::hint as of;

/// What to do about an error, by the commands and options that do it.
pub(super) fn in_commands(hint: String) -> String {
    let own = match hint.as_str() {
        of::NO_VAULT => {
            "make one with `everleaf init`, join one with `everleaf join`, or name it with \
             --vault"
        }
        of::EXISTS => "name another folder with --vault, or use this vault as it is",
        of::NOT_EMPTY => "name an empty or a new folder with --vault",
        of::NOT_A_FOLDER => "name a folder; `everleaf new FILE` makes a note of one file",
        of::ONLY_IMPORTED => {
            "export to an empty or a new folder; or, to have all notes in this one and keep it in step \
             with the vault from now on, add --adopt"
        }
        of::NOT_AS_IMPORTED => "`everleaf import` it first, and export then",
        of::UNKNOWN_NOTE => "`everleaf list` shows ids, paths and titles",
        of::UNKNOWN_IMAGE => "`everleaf images` shows their ids",
        of::UNKNOWN_REMOTE => "`everleaf remote list` shows the names",
        of::NO_REMOTE => "add one with `everleaf remote add NAME URL`",
        of::WHICH_REMOTE => "name one; `everleaf remote list` shows them",
        of::WRONG_KEY => {
            "check the URL, and take the key from a device that has the vault: `everleaf key` \
             shows it"
        }
        of::NO_KEY => "`everleaf key` shows it on a device that has the vault",
        of::NOTHING_TO_JOIN => {
            "check the URL, and run `everleaf sync` on a device that has the vault"
        }
        of::IMAGE_LIMIT => "EVERLEAF_IMAGE_LIMIT raises the limit, as in `EVERLEAF_IMAGE_LIMIT=1G`",
        of::IMAGE_GONE => {
            "`everleaf verify --repair` and a sync fetch it again, if a remote holds it"
        }
        of::ONLY_COPY => "run `everleaf sync` first",
        of::NO_DIRECTORY => {
            "connect its disk, or correct the path with `everleaf remote add` under the same name"
        }
        of::NO_BUCKET => "`everleaf remote add` under the same name corrects a URL",
        of::BUSY => "run `everleaf sync` again in a while",
        of::DENIED => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile with --profile"
        }
        of::READ_ONLY => {
            "everleaf writes to the folder of the vault even to read it: make that writable, or \
             name a copy of it with --vault"
        }
        of::REPLACE => {
            "restore the folder from a backup, or `everleaf join` the vault anew in another \
             folder, with the key that `everleaf key` still shows; keep this one if it has what \
             was never synced"
        }
        // It is one for every program.
        _ => return hint,
    };
    own.to_owned()
}
