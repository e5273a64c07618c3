//! The pages of an account, from its address to its deletion.
//!
//! This table lists what Phoenix's generators promise of a log-in, and our test of each promise.
//! Their tests are numbered P for the current `phx.gen.auth` and R for its password-first form
//! of 1.7.
//!
//! | theirs | ours |
//! |---|---|
//! | P1, P68, P69, R1 the log-in page leads to sign-up and reset | `the_log_in_page_links_to_the_reset` |
//! | P2 re-authentication: address given, no sign-up offered | `giving_the_password_leads_back_and_renews_the_session_id` |
//! | P7, P31, P76–P78, R5, R15 right, unknown and wrong credentials | `the_right_password_logs_in`, `a_wrong_password_and_an_unknown_address_get_the_same_answer` |
//! | P8, P37, P42 "remember me" | `a_remembered_user_stays_logged_in_for_two_weeks_without_a_visit` |
//! | P9, P35, P36, P49–P51 the way back, for a GET alone | `a_log_in_leads_back_to_the_requested_page`, `a_private_act_without_a_log_in_is_not_replayed` |
//! | P10 a wrong password says one thing and starts nothing | `a_failed_log_in_does_not_affect_the_current_session` |
//! | P15, P16, P39, P40 log-out, twice as well | `logging_out_ends_the_session_on_the_server`, `logging_out_without_a_session_succeeds` |
//! | P17, P20, R7, R8 sign-up names each wrong field | `each_wrong_field_has_its_own_message` |
//! | P19, P85 a sign-up by mail logs nobody in | `a_pending_sign_up_is_no_account_and_logs_nobody_in` |
//! | P21, P22 settings are for the user alone | `every_route_off_the_public_list_sends_a_visitor_to_the_log_in` |
//! | P23, P45, P46, P86 a log-in older than ten minutes | `a_log_in_is_recent_for_exactly_ten_minutes`, `every_sensitive_act_asks_for_the_password_before_it_changes_anything` |
//! | P24, R4, R35 a new password, a new token | `a_changed_password_works_and_the_old_one_does_not`, `a_change_ends_all_other_sessions_and_gives_this_one_a_new_id` |
//! | P25, P93, P95 all errors at once, token unchanged | `the_errors_of_both_fields_are_shown_at_once` |
//! | P26, R34 a new address waits for its link | `the_address_changes_only_when_the_link_mailed_to_it_is_used` |
//! | P27, P64–P67, P87, R30–R33 invalid new addresses | `a_change_needs_the_password_and_a_different_address` |
//! | P28, P29, P89, P90 a link changes the address once | `the_address_changes_only_when_the_link_mailed_to_it_is_used`, `a_malformed_link_is_a_dead_link` |
//! | P32, P34 another user's log-in wipes the state | `another_users_state_is_dropped_at_log_in` |
//! | P33 the same user's log-in keeps it | `a_visitors_state_is_kept_at_log_in` |
//! | P41, P43, P101–P103 a cookie with and without a valid session | `a_cookie_that_we_did_not_seal_makes_an_anonymous_visitor` |
//! | P44, P100 a new token is no new log-in | `a_log_in_is_recent_for_exactly_ten_minutes` |
//! | P70, P84, R32 a taken address, in any case | `a_taken_address_is_refused_in_any_case` |
//! | P81–P83 the form of an address | `each_wrong_field_has_its_own_message` |
//! | P88, P99, P111, R20 only a hash is stored, bound to user and address | `the_database_holds_no_link_token_in_clear_text` |
//! | P91 the address has changed in the meantime | `a_newer_link_a_new_password_or_a_new_address_ends_a_reset_link` |
//! | P92, P106, R19, R28 an expired link | `a_link_expires_after_exactly_24_hours`, `a_reset_link_expires_after_exactly_one_hour` |
//! | P94, P97, R9, R18 a new password ends every link | `a_newer_link_a_new_password_or_a_new_address_ends_a_reset_link` |
//! | P98 a reset ends all sessions | `a_reset_ends_every_session_of_the_user_and_of_nobody_else` |
//! | P96 too long a password | `length_is_counted_in_code_points_from_12_to_128` |
//! | P109 a password set before the address was confirmed | `a_password_chosen_in_another_browser_never_becomes_the_owners` |
//! | P110 an ended session is logged out | `a_revoked_device_is_logged_out_at_its_next_request` |
//! | R6 sign-up logs in | `a_person_signs_up_and_is_logged_in` |
//! | R10–R12, P63 a known and an unknown address look alike | `a_known_and_an_unknown_address_get_the_same_page` |
//! | R13, R15 a reset works once and logs nobody in | `a_reset_sets_the_password_and_logs_nobody_in`, `a_reset_link_works_once_even_in_parallel` |
//! | R14, R17 a bad link | `a_malformed_link_is_a_dead_link` |
//! | R16 a refused password changes nothing | `a_refused_password_does_not_use_up_the_link` |
//! | R21–R23 the link is sent again unless confirmed | `a_newer_link_ends_the_older_one`, `a_confirmed_address_is_not_mailed_a_link_again` |
//! | R25 the page of a link has a button | `opening_a_link_shows_a_button_and_changes_nothing` |
//! | R26, R27, R29 confirming works once | `a_link_works_once` |
//!
//! Left out, and why:
//!
//! - P3–P6, P11–P14, P71–P73, P104–P108: log-in by a mailed link. Ours log nobody in.
//! - P18, P47, P48, P62, R2, R3: log-in and sign-up redirect a user who is logged in. Ours do not, and
//!   say which user is replaced, because people share browsers.
//! - P30: a link to a new address needs a log-in. Ours does not: people open it where they read mail.
//! - P38: a log-in without the box keeps an earlier "remember me". Ours does what the box says.
//! - P52–P61: sockets.
//! - P74, P75, P79, P80, P112: functions without a page; `Debug` is tested beside the types.
//! - R24: a new link for a visitor who is not logged in. With us they sign up again; in `open` mode
//!   they log in first.

mod activity;
mod devices;
mod email;
mod leave;
mod notices;
mod password;
mod reauthenticate;
mod reset;
mod settings;
mod verify;
