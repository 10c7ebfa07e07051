//! Threats to a repository's keys, authority notes and time, against the real programs over HTTP.
//!
//! Every refusal is asserted by its exit code, by the file, the layer, the role and the key that the
//! message names, and by all that may not change: what is installed, the client's settings and
//! backups, and each row of its state (verified authority notes excepted: they are kept). Malicious
//! repositories are made of fixtures, which can sign with any key.
//!
//! | threat | tests |
//! |---|---|
//! | A1 a note, or a head, without one signature, without any, without a block of them | [`archive`], [`index`]: `…_that_somebody_did_not_sign_is_refused` |
//! | A2 a countersignature beside other first signatures; a line dropped or added under it | [`archive`]: `a_countersignature_is_not_moved_to_other_first_signatures` |
//! | A3 a key in another's place; one key for two roles, or twice under two names | [`index`]: `a_key_in_another_roles_place_signs_for_nobody`; [`archive`]: `keys_do_not_change_places`; [`roles`]: `no_such_note_…` |
//! | A4 one key for a threshold of two; thresholds of 0, missing, above the keys | [`index`], [`archive`]: `one_key_fills_no_threshold`; [`roles`]: `no_such_note_…`, `a_note_that_the_authority_did_not_mean_here_is_passed_over` |
//! | A5 strangers' lines; a known signer's line that fails | [`index`], [`archive`]: `a_…_line_that_fails_is_refused_…` |
//! | A6 a collision of key IDs | `format`, `policy::tests::a_key_id_alone_selects_nothing` (2³² hashes make one, which no test waits for); the like with a name and an ID put on: [`index`], [`archive`] |
//! | A7 genuine signatures of another context | [`context`] |
//! | A8 edge cases of Ed25519 | `format`, `key::edge_cases`: the one place where signatures are verified |
//! | A9 one of two signatures on either log; below the quorum; both with thresholds above one | [`index`], [`quorum`]; by the repository's programs: `thresholds.rs`, `witnesses.rs` |
//! | A10 another repository's note; a note under another number; a decision on another log or tree | [`roles`]: `a_note_that_the_authority_did_not_mean_here_is_passed_over`; [`context`] |
//! | A11 an older format; a word that one signature is enough | [`roles`]: `no_such_note_…`, `no_note_says_that_one_signature_is_enough` |
//! | B1 an older head of either log; two of one size; the next server | [`freshness`] |
//! | B2 entries that do not lead to the head; rewritten history | [`freshness`]: `entries_that_do_not_lead_to_the_signed_head_are_refused` |
//! | B3 heads past their age | [`freshness`]: `a_freeze_is_noticed_and_stops_nothing_local` |
//! | B4 a note let through and heads held back, and the reverse; a retirement taken back | [`freshness`]: `a_retirement_cannot_be_hidden_or_forgotten`, `a_withheld_note_is_noticed`; [`roles`]: `a_note_takes_no_retirement_back` |
//! | B5 a signer that runs ahead | [`freshness`]: `a_signer_that_runs_ahead_locks_nobody_out` |
//! | B6 an old head of the collection that its distribution keeps cosigning | [`freshness`]: `an_old_collection_is_not_kept_alive_by_its_distribution` |
//! | B7 clocks | [`clock`] |
//! | B8 forty versions and six rotations behind, in bounded requests | [`behind`]; from the document's own commands: `docs/recovery.md`, 6 |
//! | B9 a malformed version | [`behind`]: `a_malformed_note_is_named_and_a_later_good_one_heals` |
//! | B10 a release for another ring or repository | [`context`]: `a_release_of_another_log_has_no_effect_…` |
//! | D1 the distribution's host and key | [`compromise`]; the story of 2013: `quickstart` |
//! | D2 the collection's host and key | [`compromise`] |
//! | D3 a mirror | [`compromise`] |
//! | D4 a stolen key retired at an index; a fork healed by new origins, on either branch | [`fork`]; [`freshness`]: `a_retirement_…`; `docs/recovery.md`, 1 and 7 |
//! | D5 rotations, one at a time and all at once; signed by halves | [`rotation`] |
//! | D6 recall | [`compromise`] |
//! | D7 a changed state or cache | [`compromise`] |

mod archive;
mod behind;
mod clock;
mod compromise;
mod context;
mod fork;
mod freshness;
mod index;
mod kit;
mod quorum;
mod roles;
mod rotation;
