"""Every fault and every kind of bad input that the server must bear, and the tests that make it so.

A test is named by its file below ``tests/server`` and its function; after a colon the row of its table, where it has
one. What is measured rather than tested names its script.
"""

BAD = "web/test_bad_input.py"
ODD = "web/test_odd_input.py"
WIRE = "web/test_http_protocol.py"
CONNECTIONS = "web/test_connections.py"
LOAD = "web/test_load.py"
APP = "web/test_app.py"
ACCESS = "web/test_access.py"
DRAIN = "web/test_drain.py"
FUZZ = "web/test_fuzz.py"
ENGINE = "generation/test_engine_client.py"
CHAT = "web/test_generation.py"
WORST = "engine/test_worst_case_texts.py"
_BODY = f"{BAD}::test_a_malformed_body_is_a_400"
_PARAMETER = f"{BAD}::test_a_malformed_parameter_is_a_400"
_TEXT = f"{BAD}::test_unusual_text_is_just_text"
_MEDIA = f"{BAD}::test_anything_but_plain_json_is_a_415"
_FRAME = f"{BAD}::test_a_broken_request_is_a_4xx_or_a_closed_connection"
_BYTES = f"{ODD}::test_odd_bytes_are_answered_or_the_connection_is_closed"
_MUCH = f"{ODD}::test_a_body_with_too_much_in_it_is_a_400"
_ASK = f"{CHAT}::test_what_cannot_be_meant_is_a_400_in_openais_shape"
_EDGES = f"{CHAT}::test_the_edges_of_what_is_allowed_work"
_OTHER = f"{CHAT}::test_the_other_routes_refuse_what_they_do_not_do"
_LINEAR = f"{WORST}::test_the_time_grows_as_the_text_does"
_PATHS = f"{BAD}::test_an_unknown_route_is_a_404"
_METHODS = f"{BAD}::test_a_wrong_method_is_a_405_that_names_the_right_ones"
_STRANGERS = f"{ACCESS}::test_anything_else_is_a_401_that_tells_nothing"
_OVERLOAD = f"{LOAD}::test_four_times_more_than_it_can_do_is_refused_in_good_form_while_probes_are_answered"
_LEAVING = f"{LOAD}::test_leaving_clients_leak_no_place_and_harm_nobody"
_LEAVING_ROWS = f"{LOAD}::test_leaving_clients_leak_no_row_of_the_generation_and_its_computing_stops"
_OWN_ANSWER = f"{LOAD}::test_every_request_gets_its_own_answer_an_error_or_was_given_up_by_both_sides_counts"
_DESCRIBED = f"{FUZZ}::test_requests_made_from_the_description_find_no_fault"
_DAMAGED = f"{FUZZ}::test_damaged_bytes_find_no_fault"
_CUT_STREAM = f"{DRAIN}::test_a_stream_that_cannot_finish_ends_with_an_error_event_and_the_process_ends"

FAULTS: dict[str, tuple[str, ...]] = {
    "S1 four times the capacity": (_OVERLOAD, "bench/overload.py"),
    "S2 the same, probes and metrics": (_OVERLOAD, "bench/overload.py"),
    "S3 the same, memory": (_OVERLOAD, "bench/overload.py"),
    "S4 clients that leave": (_LEAVING, _LEAVING_ROWS),
    "S5 half of the clients leave": (_LEAVING,),
    "S6 a deadline in the queue and in generation": (
        f"{APP}::test_a_deadline_is_a_504_and_frees_the_queue",
        f"{ENGINE}::test_a_deadline_in_the_middle_of_a_stream_is_told_and_frees_the_row",
    ),
    "S7 SIGTERM with work under way": (
        f"{DRAIN}::test_streams_are_finished_new_work_is_refused_and_the_process_ends_well",
        "web/test_server.py::test_a_signal_closes_for_new_requests_and_answers_the_accepted_ones",
    ),
    "S8 SIGTERM with work that outlasts the drain": (
        _CUT_STREAM,
        "web/test_server.py::test_what_is_not_answered_within_the_drain_time_is_told",
    ),
    "S9 a second SIGTERM": ("test_main.py::test_a_second_signal_ends_the_server_at_once",),
    "S10 SIGKILL under load, and started again": (f"{LOAD}::test_a_server_that_is_killed_under_load_serves_again",),
    "S11 the engine is stuck": (
        "inference/test_runner.py::test_a_long_batch_is_seen_from_outside",
        "web/test_health_routes.py::test_an_engine_that_is_stuck_fails_the_probe_and_one_that_is_only_busy_does_not",
    ),
    "S12 an hour at saturation": (_OVERLOAD, f"{LOAD}::test_an_hour_at_saturation_fails_no_probe"),
    "S13 the engine raises": (
        f"{APP}::test_an_engine_error_is_a_500_without_internals_and_the_next_request_works",
        "inference/test_runner.py::test_an_error_fails_its_batch_and_the_next_is_computed",
    ),
    "S14 the kernel kills for want of memory": (
        f"{ENGINE}::test_an_engine_that_dies_fails_what_was_accepted_and_makes_the_server_not_alive",
        "../cluster/test_failures.py::test_a_memory_limit_that_the_kernel_enforces",
    ),
    "S15 slow and idle connections": (
        f"{CONNECTIONS}::test_silent_connections_are_closed_and_others_are_served_meanwhile",
        f"{CONNECTIONS}::test_three_hundred_bodies_that_stop_are_told_so_and_others_are_served_meanwhile",
    ),
    "S16 slow readers": (
        f"{CONNECTIONS}::test_a_client_that_reads_nothing_is_cut_off",
        f"{CONNECTIONS}::test_a_client_that_reads_slowly_gets_everything",
    ),
    "S17 bodies over the limit": (
        f"{BAD}::test_a_declared_large_body_is_a_413_before_it_is_read",
        f"{BAD}::test_a_chunked_large_body_is_a_413",
    ),
    "S18 all bad input": ("../contract/test_server_catalogue.py::test_a_test_makes_each_of_them",),
    "S19 fuzzed requests": (_DESCRIBED,),
    "S20 fuzzed bytes": (_DAMAGED,),
    "S21 the tokenizer beside the event loop": (f"{ODD}::test_a_tokenizer_that_takes_long_holds_up_nothing_else",),
    "S22 worst-case texts": (_LINEAR,),
    "S23 closed sets of labels": (f"{APP}::test_metrics_have_closed_label_sets", _DESCRIBED, _DAMAGED),
    "S24 one bad item in a batch": (f"{_BODY}:an empty text among others",),
    "S25 answers belong to their requests": (
        _OWN_ANSWER,
        "inference/test_runner.py::test_a_thousand_requests_from_many_threads_get_their_own_answers",
    ),
}

BAD_INPUT: dict[str, tuple[str, ...]] = {
    "1 empty body": (f"{_BODY}:empty body",),
    "2 null": (f"{_BODY}:null",),
    "3 list, string, number": (f"{_BODY}:list", f"{_BODY}:string", f"{_BODY}:number"),
    "4 truncated JSON": (f"{_BODY}:truncated",),
    "5 trailing comma": (f"{_BODY}:trailing comma",),
    "6 JSON then garbage": (f"{_BODY}:garbage after",),
    "7 two documents": (f"{_BODY}:two documents",),
    "8 duplicate keys": (f"{_BODY}:duplicate keys", f"{_BODY}:duplicate keys deep down"),
    "9 unknown field": (f"{_BODY}:unknown field", f"{_ASK}:an unknown field"),
    "10 missing field": (f"{_BODY}:missing field",),
    "11 wrong content type": (f"{_MEDIA}:plain text",),
    "12 no content type": (f"{_MEDIA}:no content type",),
    "13 charset utf-16": (f"{_MEDIA}:utf-16 charset",),
    "14 byte order mark": (f"{_BODY}:byte order mark",),
    "15 UTF-16 bytes": (f"{_BODY}:utf-16",),
    "16 invalid UTF-8": (f"{_BODY}:invalid utf-8",),
    "17 overlong UTF-8": (f"{_BODY}:overlong utf-8",),
    "18 lone surrogate": (f"{_BODY}:lone surrogate", f"{_BODY}:lone surrogate as key"),
    "19 NUL": (f"{_TEXT}:control characters among words",),
    "20 only control characters": (f"{WORST}::test_only_control_characters_are_no_fault",),
    "21 right-to-left override": (f"{_TEXT}:right to left override",),
    "22 100,000 combining marks": (f"{_LINEAR}:combining marks", f"{_LINEAR}:marks in no order"),
    "23 empty string": (f"{_BODY}:empty text",),
    "24 blanks only": (f"{_BODY}:blank text",),
    "25 one token over": (f"{BAD}::test_a_too_long_input_is_told_the_numbers_and_which_it_was",),
    "26 exactly at the limit": (f"{BAD}::test_an_input_exactly_at_the_limit_is_answered",),
    "27 50 MB": (f"{ODD}::test_fifty_megabytes_are_refused_before_they_are_read",),
    "28 one huge word": (f"{_LINEAR}:one word", f"{_TEXT}:one long word"),
    "29 one emoji a million times": (f"{_LINEAR}:one emoji again and again",),
    "30 base64": (f"{_LINEAR}:base64",),
    "31 special tokens as text": (
        f"{_TEXT}:special tokens as text",
        f"{CHAT}::test_special_tokens_as_text_do_no_harm",
        f"{_LINEAR}:special tokens",
    ),
    "32 batch of none": (f"{_BODY}:no input at all",),
    "33 batch over the cap": (f"{_BODY}:too many inputs",),
    "34 batch whose tokens are too many together": (f"{_BODY}:too many tokens in all",),
    "35 nested lists": (f"{_BODY}:nested lists",),
    "36 mixed batch": (f"{_BODY}:mixed batch",),
    "37 NaN": (f"{_BODY}:NaN",),
    "38 Infinity": (f"{_BODY}:Infinity", f"{_BODY}:-Infinity"),
    "39 1e400": (f"{_BODY}:1e400",),
    "40 NaN as a string": (f"{_PARAMETER}:text NaN for top_k",),
    "41 -0.0": (_EDGES,),
    "42 temperature": (f"{_ASK}:temperature below 0", f"{_ASK}:temperature above 2", _EDGES),
    "43 top_p": (f"{_ASK}:top_p 0", f"{_ASK}:top_p above 1", f"{_ASK}:top_p below 0"),
    "44 top_k": (f"{_ASK}:top_k 0", f"{_ASK}:top_k below 0", f"{_ASK}:top_k huge", f"{_ASK}:top_k not whole"),
    "45 max_tokens": (f"{_ASK}:max_tokens 0", f"{_ASK}:max_tokens of more", f"{_BODY}:5000 digits"),
    "46 n": (f"{_ASK}:n 0", f"{_ASK}:n huge"),
    "47 best_of": (_OTHER,),
    "48 stop": (f"{_ASK}:many stops", f"{_ASK}:an empty stop", f"{_ASK}:a long stop"),
    "49 other types for numbers": (
        f"{_PARAMETER}:bool for top_k",
        f"{_ASK}:max_tokens as text",
        f"{_ASK}:max_tokens not whole",
    ),
    "50 seed": (f"{_ASK}:seed below 0", f"{_ASK}:seed of 65 bits"),
    "51 unknown model": (f"{BAD}::test_an_unknown_model_is_a_404",),
    "52 model as a path, or huge": (f"{BAD}::test_an_unknown_model_is_a_404",),
    "53 unsupported task": (f"{BAD}::test_another_task_is_a_400_that_says_which_the_model_does",),
    "54 stream as text": (f"{_ASK}:stream as text",),
    "55 stream and batch": (f"{_BODY}:stream", _OTHER),
    "56 logit_bias": (f"{_ASK}:biases", f"{_ASK}:many biases"),
    "57 regex, schema, template": (f"{_ASK}:a schema", f"{_ASK}:a template", _OTHER),
    "58 images and URLs": (f"{_BODY}:image url", f"{_ASK}:an image"),
    "59 deep nesting": (f"{_BODY}:deep nesting", f"{_BODY}:deep objects", f"{_MUCH}:a million brackets"),
    "60 a million keys": (f"{_MUCH}:a million keys",),
    "61 a million elements": (
        f"{_MUCH}:a million numbers",
        f"{_MUCH}:a million empty objects",
        f"{_MUCH}:a million tiny inputs",
    ),
    "62 a million digits": (f"{_MUCH}:a number of a million digits",),
    "63 many escapes": (f"{ODD}::test_a_string_of_many_escapes_is_just_text",),
    "64 gzip bomb": (f"{BAD}::test_a_compressed_bomb_is_never_unpacked",),
    "65 false gzip": (f"{_MEDIA}:gzip",),
    "66 Content-Length": (
        f"{_FRAME}:two different lengths",
        f"{_FRAME}:negative length",
        f"{_FRAME}:signed length",
        f"{_FRAME}:text as length",
        f"{BAD}::test_an_incomplete_body_is_no_success",
    ),
    "67 length and chunked": (f"{_FRAME}:length and chunked",),
    "68 chunks": (
        f"{_FRAME}:bad chunk size",
        f"{_FRAME}:chunk size overflow",
        f"{_BYTES}:no final chunk",
        f"{_BYTES}:a huge chunk extension",
        f"{_BYTES}:huge trailers",
        f"{ODD}::test_a_hundred_thousand_chunks_of_a_byte_are_one_body",
    ),
    "69 transfer encodings": (f"{_FRAME}:unknown transfer encoding",),
    "70 a huge header": (f"{_FRAME}:header of 70 kB", f"{_BYTES}:a header of 20 MB"),
    "71 10,000 headers": (f"{_FRAME}:ten thousand headers",),
    "72 CR, NUL, folding": (
        f"{_FRAME}:NUL in a header",
        f"{_BYTES}:a bare CR in a header",
        f"{_BYTES}:a folded header",
    ),
    "73 Host": (f"{_FRAME}:no host", f"{_FRAME}:two hosts", f"{_BYTES}:a host of 10 kB"),
    "74 other protocols": (
        f"{_FRAME}:http 0.9",
        f"{BAD}::test_http_1_0_works",
        f"{_FRAME}:http 2 preface",
        f"{_FRAME}:tls hello",
        f"{_FRAME}:binary",
    ),
    "75 methods": (_METHODS, f"{_BYTES}:CONNECT", f"{_FRAME}:huge method"),
    "76 paths": (
        _PATHS,
        f"{_FRAME}:path of 200 kB",
        f"{_BYTES}:a path that is encoded twice",
        f"{_BYTES}:another host in the path",
    ),
    "77 a query of 1 MB": (f"{_BYTES}:a query of 1 MB",),
    "78 ranges": (f"{_BYTES}:ten thousand ranges",),
    "79 an expectation and no body": (f"{_BYTES}:a body that was promised and not sent",),
    "80 a nonsense expectation": (f"{_BYTES}:a nonsense expectation",),
    "81 upgrades": (f"{BAD}::test_a_websocket_upgrade_is_not_taken", f"{_BYTES}:an upgrade to HTTP/2"),
    "82 1,000 pipelined requests": (f"{ODD}::test_a_thousand_pipelined_requests_are_answered_in_order",),
    "83 slow headers": (f"{WIRE}::test_headers_that_do_not_arrive_close_the_connection",),
    "84 slow body": (f"{CONNECTIONS}::test_a_body_that_trickles_is_bounded_as_a_whole",),
    "85 silence": (f"{CONNECTIONS}::test_silent_connections_are_closed_and_others_are_served_meanwhile",),
    "86 half-close (the client has left: both look alike)": (f"{ODD}::test_a_client_that_closes_its_side_has_left",),
    "87 reset in a stream": (_LEAVING_ROWS, _DAMAGED),
    "88 never reads": (f"{CONNECTIONS}::test_a_client_that_reads_nothing_is_cut_off",),
    "89 10,000 connections": (
        f"{CONNECTIONS}::test_silent_connections_are_closed_and_others_are_served_meanwhile",
        f"{CONNECTIONS}::test_beyond_the_most_connections_those_with_nothing_under_way_make_room",
    ),
    "90 forms": (f"{_MEDIA}:form", f"{_MEDIA}:multipart"),
    "91 Authorization": (_STRANGERS, f"{ACCESS}::test_two_authorization_headers_do_not_open"),
    "92 key in the query": (f"{ACCESS}::test_a_key_in_the_query_does_not_open",),
    "93 CORS": (f"{BAD}::test_a_foreign_origin_is_given_no_allowance",),
    "94 forged X-Forwarded": (f"{_BYTES}:forged proxies",),
    "95 X-Request-Id": (f"{APP}::test_a_sane_request_id_is_echoed_and_others_are_replaced",),
    "96 routes without key": (f"{ACCESS}::test_every_route_but_the_probes_and_metrics_needs_a_key", _PATHS),
    "97 HEAD and OPTIONS": (f"{ODD}::test_head_and_options_on_every_route_find_no_fault",),
    "98 GET with body": (f"{BAD}::test_a_get_with_a_body_is_answered",),
    "99 start-up, drain, full queue": (
        f"{APP}::test_before_the_model_is_ready_probes_and_requests_say_so",
        "web/test_server.py::test_a_signal_closes_for_new_requests_and_answers_the_accepted_ones",
        f"{APP}::test_a_full_queue_is_a_429_with_a_time_to_wait",
    ),
    "100 deadlines in headers (there are none)": (f"{_BYTES}:a deadline that means nothing",),
}
