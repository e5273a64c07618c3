//! The account's whole life.
//!
//! What Phoenix's generators promise of a log-in (their tests, numbered here P
//! for `phx.gen.auth` as it is and R for its password-first form of 1.7), and
//! the test that holds us to it:
//!
//! | theirs | ours |
//! |---|---|
//! | P1, P68, P69, R1 the log-in page leads to sign-up and reset | `the_log_in_page_shows_the_way_to_a_reset` |
//! | P2 the password again: address given, no sign-up offered | `the_password_leads_back_under_a_new_id` |
//! | P7, P31, P76–P78, R5, R15 right, unknown and wrong credentials | `the_right_password_logs_in`, `a_wrong_password_and_an_unknown_address_get_the_same_answer` |
//! | P8, P37, P42 "remember me" | `who_is_remembered_comes_back_within_two_weeks` |
//! | P9, P35, P36, P49–P51 the way back, of a GET alone | `a_visitor_comes_back_to_the_page_he_asked_for`, `a_private_act_without_a_log_in_is_not_replayed` |
//! | P10 a wrong password says one thing and starts nothing | `a_failed_log_in_leaves_the_present_session_alone` |
//! | P15, P16, P39, P40 log-out, twice as well | `logging_out_ends_the_session_on_the_server`, `logging_out_twice_or_as_nobody_works_alike` |
//! | P17, P20, R7, R8 sign-up names each wrong field | `each_wrong_field_has_its_own_message` |
//! | P19, P85 a sign-up by mail logs nobody in | `a_sign_up_that_waits_is_no_account_and_logs_nobody_in` |
//! | P21, P22 settings are for the user alone | `every_route_off_the_public_list_sends_a_visitor_to_the_log_in` |
//! | P23, P45, P46, P86 a log-in older than ten minutes | `a_log_in_is_recent_for_ten_minutes_to_the_second`, `every_sensitive_act_asks_and_nothing_is_changed` |
//! | P24, R4, R35 a new password, a new token | `a_changed_password_works_and_the_old_one_does_not`, `all_other_sessions_end_and_this_one_goes_on_under_a_new_id` |
//! | P25, P93, P95 all errors at once, token unchanged | `both_fields_are_told_what_is_wrong_at_once` |
//! | P26, R34 a new address waits for its link | `nothing_changes_before_the_link_at_the_new_address_is_used` |
//! | P27, P64–P67, P87, R30–R33 what is no new address | `the_password_and_another_address_are_required` |
//! | P28, P29, P89, P90 a link changes the address once | `nothing_changes_before_the_link_at_the_new_address_is_used`, `a_link_of_another_shape_is_a_dead_one` |
//! | P32, P34 another user's log-in wipes the state | `another_users_state_is_dropped_at_log_in` |
//! | P33 one's own keeps it | `the_visitors_state_is_kept_at_log_in` |
//! | P41, P43, P101–P103 a cookie that is a session's, or not | `a_cookie_we_did_not_seal_is_an_anonymous_visitor` |
//! | P44, P100 a new token is no new log-in | `a_log_in_is_recent_for_ten_minutes_to_the_second` |
//! | P70, P84, R32 a taken address, in any case | `a_taken_address_is_refused_whatever_its_case` |
//! | P81–P83 what an address is | `each_wrong_field_has_its_own_message` |
//! | P88, P99, P111, R20 only a hash is stored, bound to user and address | `the_database_holds_no_token_in_clear` |
//! | P91 the address has changed meanwhile | `a_newer_reset_link_a_new_password_and_a_new_address_end_it` |
//! | P92, P106, R19, R28 an expired link | `a_link_expires_to_the_second`, `a_reset_link_expires_to_the_second` |
//! | P94, P97, R9, R18 a new password ends every link | `a_newer_reset_link_a_new_password_and_a_new_address_end_it` |
//! | P98 all sessions go with the password | `a_reset_ends_every_session_of_the_user_and_of_nobody_else` |
//! | P96 what is too long | `length_is_counted_in_code_points_from_12_to_128` |
//! | P109 a password set before the address was confirmed | `a_password_chosen_in_another_browser_never_becomes_the_owners` |
//! | P110 an ended session is out | `a_device_that_is_logged_out_is_out_at_its_next_request` |
//! | R6 sign-up logs in | `a_person_signs_up_and_is_logged_in` |
//! | R10–R12, P63 a known and an unknown address look alike | `a_known_and_an_unknown_address_get_the_same_page` |
//! | R13, R15 a reset works once and logs nobody in | `a_reset_sets_the_password_and_logs_nobody_in`, `a_reset_link_works_once_even_in_parallel` |
//! | R14, R17 a bad link | `a_link_of_another_shape_is_a_dead_one` |
//! | R16 a refused password leaves all as it was | `a_refused_password_leaves_the_link_good` |
//! | R21–R23 the link once more, unless confirmed | `a_newer_link_ends_the_older`, `a_confirmed_address_is_not_mailed_a_link_again` |
//! | R25 the page of a link has a button | `the_page_of_a_link_has_a_button_and_changes_nothing` |
//! | R26, R27, R29 confirming works once | `a_link_works_once` |
//!
//! Left out, and why:
//!
//! - P3–P6, P11–P14, P71–P73, P104–P108: log-in by a mailed link. Ours log nobody in.
//! - P18, P47, P48, P62, R2, R3: log-in and sign-up send who is logged in away. Ours stay, and
//!   say whose place is taken: people share browsers.
//! - P30: a link to a new address needs a log-in. It is opened where the mail is.
//! - P38: a log-in without the box keeps an earlier "remember me". Ours does what the box says.
//! - P52–P61: sockets.
//! - P74, P75, P79, P80, P112: functions without a page; `Debug` is tested beside the types.
//! - R24: a link once more for who is not logged in. Whoever waits for one signs up again, and in
//!   `open` mode logs in first.

mod activity;
mod devices;
mod email;
mod leave;
mod notices;
mod password;
mod reauthenticate;
mod reset;
mod verify;
