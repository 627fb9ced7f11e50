/*
 * SPDX-License-Identifier: MIT
 *
 * The shapes of callbacks that real C libraries have, S1 to S9, S11 and S12,
 * each promisified as a user would, over the stand-ins of standins.h.  Under
 * each banner: the wrapper, then what becomes of it when the call goes well,
 * fails, does not start, is cancelled, and is never answered.
 */
#include "fixture.h"

#include "standins.h"

/* Wrappers take the outcome they shall meet last, as the stand-ins do. */
typedef avow_promise *wrapper_fn(outcome script);

/* Logs the value, or "!domain code text" for an error. */
static avow_value tell(avow_value value, void *arg)
{
	const avow_domain *const domain = avow_domain_of(value);

	(void)arg;
	if (domain)
		fx_log("!%s %d %s", domain->type.name, avow_code(value),
		       avow_message(value));
	else
		fx_log("%s", fx_text(value));
	return avow_none();
}

static void tell_of(avow_promise *p)
{
	avow_on(p, .fulfilled = tell, .rejected = tell);
}

static void nothing_is_left(void)
{
	standins_end();
	ck_assert_int_eq(standin_live, 0);
	(void)fx_take_reports();
}

/* The whole life of one call; what came of it must be `expected`. */
static void meets(wrapper_fn *wrapper, outcome script, const char *expected)
{
	tell_of(wrapper(script));
	fx_log("started");
	fx_run();

	char text[256];
	snprintf(text, sizeof(text), "started|%s", expected);
	fx_expect(text);
	nothing_is_left();
}

/* Rejected at once with the code the call gave. */
static void is_refused(wrapper_fn *wrapper, int code)
{
	avow_promise *const p = wrapper(REFUSES);

	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	ck_assert(avow_error_is(avow_value_of(p), &avow_start_domain, code));
	avow_catch(p, fx_note, NULL);
	fx_run();
	(void)fx_take_log();
	nothing_is_left();
}

/* Cancelled while the library works: it may finish, nobody sees it. */
static void can_be_cancelled(wrapper_fn *wrapper)
{
	avow_promise *const p = wrapper(GOES_WELL);

	avow_then(p, fx_note, "never");
	avow_catch(p, fx_note, "cancelled");
	avow_cancel(p);
	ck_assert(avow_is_cancelled(avow_value_of(p)));
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "cancelled:!", 11), 0);
	nothing_is_left();
}

/* Never answered: listed by its call when the loop ends. */
static void is_abandoned(wrapper_fn *wrapper, const char *call)
{
	avow_catch(wrapper(IS_SILENT), fx_note, "abandoned");
	fx_run();
	fx_expect("");
	fx_free_loop();

	ck_assert_int_eq(strncmp(fx_take_log(), "abandoned:!", 11), 0);
	const char *const reports = fx_take_reports();
	ck_assert_msg(!strncmp(reports, "abandoned:", 10) &&
		      strstr(reports, call), "\"%s\" does not tell of %s",
		      reports, call);
	nothing_is_left();
}


/* ----------------------------------------- S1 (err, val..., ctx): ZooKeeper */

static zoo_stat *zoo_stat_dup(zoo_stat *stat)
{
	zoo_stat *const copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	standin_live++;
	*copy = *stat;
	return copy;
}

static void zoo_stat_free(zoo_stat *stat)
{
	standin_live--;
	free(stat);
}

AVOW_TYPE(zoo_stat, zoo_stat *, zoo_stat_free, zoo_stat_dup);

/* The library says `const zoo_stat *` and `const void *`. */
static void on_zoo_data(int rc, const char *value, int size,
			const zoo_stat *stat, const void *data);

AVOW_CALLBACK(on_zoo_copied, AVOW_ERR(int, zoo_error),
	      AVOW_BYTES(const char *, int), AVOW_COPY(zoo_stat),
	      AVOW_CTX(const void *));
AVOW_CALLBACK(on_zoo_text, AVOW_ERR(int, zoo_error),
	      AVOW_BYTES(const char *, int), AVOW_SKIP(const zoo_stat *),
	      AVOW_CTX(const void *));

static void on_zoo_data(int rc, const char *value, int size,
			const zoo_stat *stat, const void *data)
{
	zoo_stat mine = stat ? *stat : (zoo_stat){ 0 };

	on_zoo_copied(rc, value, size, &mine, data);
}

static avow_promise *zoo_text(outcome script)
{
	return AVOW_PROMISIFY(fx.loop, zoo_get(fx.ev, script, "/config",
					       on_zoo_text, AVOW_CONTEXT));
}

static avow_value zoo_tell(avow_value value, void *arg)
{
	const on_zoo_copied_results *const r =
		on_zoo_copied_results_get(value);

	(void)arg;
	fx_log("%s version %d", avow_str_get(r->p2), r->p3->version);
	return avow_none();
}

static avow_promise *zoo_both(outcome script)
{
	return avow_then(AVOW_PROMISIFY(fx.loop,
					zoo_get(fx.ev, script, "/config",
						on_zoo_data, AVOW_CONTEXT)),
			 zoo_tell, NULL);
}

FX_TEST(s1_error_first_goes_well)
{
	meets(zoo_text, GOES_WELL, "abc");
	meets(zoo_both, GOES_WELL, "abc version 42|none");
}

FX_TEST(s1_error_first_fails)
{
	meets(zoo_text, FAILS, "!on_zoo_text -101 no node");
	meets(zoo_both, FAILS, "!on_zoo_copied -101 no node");
}

FX_TEST(s1_error_first_answers_at_once)
{
	meets(zoo_text, AT_ONCE, "abc");
}

FX_TEST(s1_error_first_is_refused)
{
	is_refused(zoo_text, -4);
}

FX_TEST(s1_error_first_is_cancelled)
{
	can_be_cancelled(zoo_text);
	can_be_cancelled(zoo_both);
}

FX_TEST(s1_error_first_is_never_answered)
{
	is_abandoned(zoo_text, "zoo_get(fx.ev, script, \"/config\", "
			       "on_zoo_text, AVOW_CONTEXT)");
}


/* ------------------------------------- S2 (ctx, status, extra, val): c-ares */

AVOW_TYPE(res_info, res_info *, res_info_free);
AVOW_CALLBACK(on_res_info, AVOW_CTX(void *), AVOW_ERR(int, res_strerror),
	      AVOW_SKIP(int), AVOW_OWN(res_info));

static avow_value res_name(avow_value value, void *arg)
{
	(void)arg;
	return avow_str(res_info_get(value)->name);
}

static avow_promise *res_ask(outcome script, const char *name)
{
	return avow_then(AVOW_PROMISIFY_VOID(fx.loop,
				res_query(fx.ev, script, name, on_res_info,
					  AVOW_CONTEXT)),
			 res_name, NULL);
}

static avow_promise *res_ask_name(outcome script)
{
	return res_ask(script, "ok.test");
}

FX_TEST(s2_context_first_goes_well)
{
	meets(res_ask_name, GOES_WELL, "ok.test.");
}

FX_TEST(s2_context_first_fails)
{
	meets(res_ask_name, FAILS, "!on_res_info 4 domain name not found");
}

FX_TEST(s2_context_first_answers_at_once)
{
	tell_of(res_ask(GOES_WELL, "10.1.2.3"));
	fx_log("started");
	fx_run();

	fx_expect("started|10.1.2.3.");
	nothing_is_left();
}

FX_TEST(s2_context_first_is_cancelled_and_its_late_result_freed)
{
	can_be_cancelled(res_ask_name);
}

static void res_hook(void *arg)
{
	(void)arg;
	res_cancel_all();
}

FX_TEST(s2_context_first_is_cancelled_with_its_whole_channel)
{
	void *context = NULL;
	avow_promise *const p = AVOW_PROMISIFY_VOID(fx.loop,
		res_query(fx.ev, GOES_WELL, "a.test", on_res_info,
			  context = AVOW_CONTEXT));
	avow_promise *const q = res_ask_name(GOES_WELL);

	avow_on_cancel(context, res_hook, NULL);
	tell_of(q);
	avow_cancel(p);
	fx_run();

	fx_expect("!on_res_info 24 query cancelled");
	nothing_is_left();
}

FX_TEST(s2_context_first_is_never_answered)
{
	is_abandoned(res_ask_name, "on_res_info");
}


/* ------------------------------------------- S3 (handle, val, ctx): hiredis */

static const char *kv_strerror(int code)
{
	return code == 3 ? "end of file" : NULL;
}

AVOW_DOMAIN(kv, kv_strerror);

/* By hand: the error stands in the handle, the reply is freed on return. */
static void on_kv_reply(kv *handle, void *reply, void *data)
{
	const kv_reply *const r = reply;

	avow_settle(data, r ? avow_str(r->text) :
		    avow_error_in(&kv_domain, handle->err, "%s",
				  handle->errstr));
}

static kv kv_handle;

static avow_promise *kv_ask(outcome script)
{
	kv_handle.ev = fx.ev;
	kv_handle.script = script;
	return AVOW_PROMISIFY(fx.loop,
		kv_command(&kv_handle, on_kv_reply, AVOW_CONTEXT,
			   "SET %s %d", "key", 12));
}

FX_TEST(s3_borrowed_reply_goes_well)
{
	meets(kv_ask, GOES_WELL, "SET key 12");
}

FX_TEST(s3_borrowed_reply_fails)
{
	meets(kv_ask, FAILS, "!kv 3 Server closed");
}

FX_TEST(s3_borrowed_reply_answers_at_once)
{
	meets(kv_ask, AT_ONCE, "SET key 12");
}

FX_TEST(s3_borrowed_reply_is_refused)
{
	is_refused(kv_ask, -1);
}

FX_TEST(s3_borrowed_reply_is_cancelled)
{
	can_be_cancelled(kv_ask);
}

FX_TEST(s3_borrowed_reply_is_never_answered)
{
	is_abandoned(kv_ask, "\"SET %s %d\", \"key\", 12)");
}


/* ---------------------------------- S4 (handle, kind, val, ctx, id): getdns */

AVOW_TYPE(text, char *, standin_text_free);

static const char *dns_explain(int kind)
{
	return kind == DNS_TIMEOUT ? "no answer in time" : "cancelled";
}

AVOW_DOMAIN(dns, dns_explain);

static void on_dns(dns_context *context, int kind, char *response, void *arg,
		   uint64_t id)
{
	(void)context;
	(void)id;
	avow_settle(arg, kind == DNS_COMPLETE ? text_value(response) :
		    avow_domain_error(&dns_domain, kind));
}

static dns_context dns;

/* What the hook needs lives as long as the call. */
struct dns_request {
	dns_context *context;
	uint64_t id;
};

static void dns_give_up(void *arg)
{
	const struct dns_request *const r = arg;

	dns_cancel(r->context, r->id);
}

static avow_value text_tell(avow_value value, void *arg)
{
	(void)arg;
	return avow_str(text_get(value));
}

static avow_promise *dns_ask(outcome script)
{
	dns.ev = fx.ev;
	dns.script = script;
	const avow_call c = avow_begin(fx.loop, "dns_address");
	if (!c.is_open)
		return avow_end(c, false, 0);
	struct dns_request *const r = avow_alloc(c.context, sizeof(*r));
	if (!r)
		return avow_end(c, false, ENOMEM);
	r->context = &dns;
	const int code = dns_address(&dns, "ok.test", c.context, &r->id,
				     on_dns);
	if (code == 0)
		avow_on_cancel(c.context, dns_give_up, r);
	return avow_then(avow_end(c, code == 0, code), text_tell, NULL);
}

FX_TEST(s4_id_and_kind_goes_well)
{
	meets(dns_ask, GOES_WELL, "10.1.2.3");
}

FX_TEST(s4_id_and_kind_fails)
{
	meets(dns_ask, FAILS, "!dns 702 no answer in time");
}

/* The id comes with the callback still to come, so not with AT_ONCE. */
FX_TEST(s4_id_and_kind_is_refused)
{
	avow_catch(dns_ask(REFUSES), fx_note, "refused");
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "refused:!", 9), 0);
	nothing_is_left();
}

FX_TEST(s4_id_and_kind_is_cancelled_in_the_library_as_well)
{
	avow_promise *const p = dns_ask(IS_SILENT);

	ck_assert_ptr_nonnull(works);
	avow_cancel(p);
	ck_assert_ptr_null(works);
	fx_run();

	nothing_is_left();
}

FX_TEST(s4_id_and_kind_is_never_answered)
{
	is_abandoned(dns_ask, "dns_address");
}


/* ---------------------------------------------- S5 (req *) intrusive: libuv */

struct request {
	req req;
	void *context;
};

static void on_req(req *r)
{
	const struct request *const mine = (const struct request *)r;

	avow_settle(mine->context, r->result < 0 ? avow_errno(r->result) :
		    avow_int(r->result));
}

static void req_give_up(void *arg)
{
	req_cancel(arg);
}

static struct request *last_request;

static avow_promise *req_read(outcome script)
{
	const avow_call c = avow_begin(fx.loop, "req_start");
	struct request *const r = last_request =
		avow_alloc(c.context, sizeof(*r));
	if (!r)
		return avow_end(c, false, ENOMEM);
	r->context = c.context;
	avow_on_cancel(c.context, req_give_up, r);
	const int code = req_start(fx.ev, script, &r->req, on_req);
	return avow_end(c, code == 0, code);
}

FX_TEST(s5_intrusive_request_goes_well)
{
	meets(req_read, GOES_WELL, "512");
}

FX_TEST(s5_intrusive_request_fails)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "!errno %d %s", ENOENT,
		 strerror(ENOENT));
	meets(req_read, FAILS, expected);
}

FX_TEST(s5_intrusive_request_answers_at_once)
{
	meets(req_read, AT_ONCE, "512");
}

FX_TEST(s5_intrusive_request_is_refused)
{
	is_refused(req_read, -EBADF);
}

FX_TEST(s5_intrusive_request_is_cancelled_and_keeps_its_memory_meanwhile)
{
	avow_promise *const p = req_read(IS_SILENT);

	avow_cancel(p);
	ck_assert_int_eq(last_request->req.result, -ECANCELED);
	fx_run();		/* the library still uses its request */
	ck_assert_ptr_null(works);

	nothing_is_left();
}

FX_TEST(s5_intrusive_request_is_never_answered)
{
	const avow_call c = avow_begin(fx.loop, "silent request");

	ck_assert_ptr_nonnull(avow_alloc(c.context, sizeof(struct request)));
	avow_catch(avow_end(c, true, 0), fx_note, "abandoned");
	fx_free_loop();

	ck_assert_int_eq(strncmp(fx_take_log(), "abandoned:!", 11), 0);
	fx_expect_reports("abandoned:silent request");
}


/* ------------------------ S6 success and failure in an options struct: Paho */

static const char *mq_strerror(int code)
{
	return code == -3 ? "disconnected" : NULL;
}

AVOW_DOMAIN(mq, mq_strerror);

static void on_mq_success(void *context, mq_success *response)
{
	avow_settle(context, avow_int(response->token));
}

static void on_mq_failure(void *context, mq_failure *response)
{
	avow_settle(context, avow_error_in(&mq_domain, response->code, "%s",
					   response->message));
}

static avow_promise *mq_publish(outcome script)
{
	return AVOW_PROMISIFY(fx.loop,
		mq_send(fx.ev, script, "news",
			&(mq_options){ .context = AVOW_CONTEXT,
				       .on_success = on_mq_success,
				       .on_failure = on_mq_failure }));
}

FX_TEST(s6_two_callbacks_goes_well)
{
	meets(mq_publish, GOES_WELL, "17");
}

FX_TEST(s6_two_callbacks_fails)
{
	meets(mq_publish, FAILS, "!mq -3 broker unavailable");
}

FX_TEST(s6_two_callbacks_answers_at_once)
{
	meets(mq_publish, AT_ONCE, "17");
}

FX_TEST(s6_two_callbacks_is_refused)
{
	is_refused(mq_publish, -1);
}

FX_TEST(s6_two_callbacks_is_cancelled)
{
	can_be_cancelled(mq_publish);
}

FX_TEST(s6_two_callbacks_is_never_answered)
{
	is_abandoned(mq_publish, "mq_send(fx.ev, script, \"news\"");
}


/* --------------------- S7 one callback for each handle, by id: mosquitto
 *
 * A map from ids to contexts.  A completion that comes before its id is known
 * is remembered, and settles the call as soon as the id is told.
 */

struct entry {
	int id;
	int reason;
	void *context;		/* NULL: completed, and not yet known */
};

static struct entry entries[8];

static struct entry *entry_of(int id)
{
	for (size_t i = 0; i < 8; i++)
		if (entries[i].id == id)
			return &entries[i];
	return NULL;
}

static const char *mos_strerror(int reason)
{
	return reason == 135 ? "not authorised" : NULL;
}

AVOW_DOMAIN(mos, mos_strerror);

static void entry_settle(struct entry *e, void *context, int reason)
{
	const int id = e->id;

	*e = (struct entry){ 0 };
	avow_settle(context, reason ? avow_domain_error(&mos_domain, reason) :
		    avow_int(id));
}

static void on_mos_publish(mos *handle, void *data, int id, int reason)
{
	struct entry *e = entry_of(id);

	(void)handle;
	(void)data;
	if (e) {
		entry_settle(e, e->context, reason);
		return;
	}
	e = entry_of(0);
	ck_assert_ptr_nonnull(e);
	*e = (struct entry){ id, reason, NULL };
}

static mos mos_handle;

static avow_promise *mos_send(outcome script)
{
	int id = 0;

	mos_handle.ev = fx.ev;
	mos_handle.script = script;
	mos_handle.on_publish = on_mos_publish;
	const avow_call c = avow_begin(fx.loop, "mos_publish");
	const int code = mos_publish(&mos_handle, &id, "news");
	avow_promise *const p = avow_end(c, code == 0, code);
	if (code)
		return p;
	struct entry *e = entry_of(id);
	if (e) {
		entry_settle(e, c.context, e->reason);
		return p;
	}
	e = entry_of(0);
	ck_assert_ptr_nonnull(e);
	*e = (struct entry){ id, 0, c.context };
	return p;
}

FX_TEST(s7_matched_by_id_goes_well)
{
	meets(mos_send, GOES_WELL, "1");
	meets(mos_send, GOES_WELL, "2");
}

FX_TEST(s7_matched_by_id_fails)
{
	meets(mos_send, FAILS, "!mos 135 not authorised");
}

FX_TEST(s7_matched_by_id_answers_before_the_id_is_known)
{
	meets(mos_send, AT_ONCE, "1");
	ck_assert_ptr_null(entry_of(1));
}

FX_TEST(s7_matched_by_id_is_refused)
{
	is_refused(mos_send, 4);
}

FX_TEST(s7_matched_by_id_is_cancelled)
{
	can_be_cancelled(mos_send);
}

FX_TEST(s7_matched_by_id_is_never_answered)
{
	is_abandoned(mos_send, "mos_publish");
}

FX_TEST(s7_matched_by_id_answers_out_of_order)
{
	tell_of(mos_send(GOES_WELL));
	tell_of(mos_send(AT_ONCE));
	tell_of(mos_send(GOES_WELL));
	fx_run();

	const char *const log = fx_take_log();
	ck_assert_int_eq(strncmp(log, "2|", 2), 0);
	ck_assert_ptr_nonnull(strstr(log, "1"));
	ck_assert_ptr_nonnull(strstr(log, "3"));
	nothing_is_left();
}


/* ----------------------------------------- S8 no callback, readiness: libpq */

static avow_value pq_step(avow_value events, void *state)
{
	pq *const c = state;

	(void)events;
	switch (pq_connect_poll(c)) {
	case PQ_READING:
		return avow_until(c->fd, AVOW_READ, 0);
	case PQ_WRITING:
		return avow_until(c->fd, AVOW_WRITE, 0);
	case PQ_OK:
		return avow_str("connected");
	default:
		return avow_error(ECONNREFUSED, "the server said no");
	}
}

static void pq_drop(void *connection)
{
	pq_finish(connection);
}

/* The connection is closed with the promise, whatever happens. */
static avow_promise *pq_connect(outcome script)
{
	pq *const c = pq_connect_start(fx.ev, script);

	if (!c)
		return avow_rejected(fx.loop, avow_errno(ENOMEM));
	return avow_attach(avow_drive(fx.loop, pq_step, c), c, pq_drop);
}

FX_TEST(s8_readiness_goes_well)
{
	meets(pq_connect, GOES_WELL, "connected");
}

FX_TEST(s8_readiness_fails)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "!errno %d the server said no",
		 ECONNREFUSED);
	meets(pq_connect, FAILS, expected);
}

FX_TEST(s8_readiness_is_cancelled)
{
	avow_promise *const p = pq_connect(IS_SILENT);

	ev_run(fx.ev, EVRUN_NOWAIT);
	ck_assert_int_eq(standin_live, 1);
	avow_cancel(p);
	fx_run();

	nothing_is_left();
}

FX_TEST(s8_readiness_is_never_answered)
{
	avow_catch(pq_connect(IS_SILENT), fx_note, "abandoned");
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_free_loop();

	ck_assert_int_eq(strncmp(fx_take_log(), "abandoned:!", 11), 0);
	nothing_is_left();
}


/* ------------------------------------------------------- S9 two phases: GIO */

static const char *gio_explain(int code)
{
	return code == 19 ? "cancelled" : "failed";
}

AVOW_DOMAIN(gio, gio_explain);

static void on_gio(gio *source, gio_result *result, void *data)
{
	gio_error *error = NULL;
	char *const contents = gio_read_finish(source, result, &error);
	avow_value value;

	if (contents) {
		value = text_value(contents);
	} else {
		value = avow_error_in(&gio_domain, error->code, "%s",
				      error->message);
		gio_error_free(error);
	}
	avow_settle(data, value);
}

static gio gio_file;

static void raise_flag(void *flag)
{
	*(bool *)flag = true;
}

static avow_promise *gio_read(outcome script)
{
	gio_file.ev = fx.ev;
	gio_file.script = script;
	const avow_call c = avow_begin(fx.loop, "gio_read_async");
	bool *const is_cancelled = avow_alloc(c.context, sizeof(bool));
	if (!is_cancelled)
		return avow_end(c, false, ENOMEM);
	avow_on_cancel(c.context, raise_flag, is_cancelled);
	gio_read_async(&gio_file, is_cancelled, on_gio, c.context);
	return avow_then(avow_end(c, true, 0), text_tell, NULL);
}

FX_TEST(s9_two_phases_goes_well)
{
	meets(gio_read, GOES_WELL, "file contents");
}

FX_TEST(s9_two_phases_fails)
{
	meets(gio_read, FAILS, "!gio 1 No such file");
}

FX_TEST(s9_two_phases_answers_at_once)
{
	meets(gio_read, AT_ONCE, "file contents");
}

FX_TEST(s9_two_phases_is_cancelled_through_its_cancellable)
{
	can_be_cancelled(gio_read);
}

FX_TEST(s9_two_phases_is_never_answered)
{
	is_abandoned(gio_read, "gio_read_async");
}


/* ------------------------------------------------- S11 another thread: NATS */

static void message_free(char *message)
{
	free(message);
}

AVOW_TYPE(message, char *, message_free);
AVOW_CALLBACK(on_nats, AVOW_ERR(int, nats_text), AVOW_OWN(message),
	      AVOW_CTX(void *));

static nats nats_one;

static avow_value message_tell(avow_value value, void *arg)
{
	(void)arg;
	return avow_str(message_get(value));
}

static avow_promise *nats_ask(outcome script)
{
	return avow_then(AVOW_PROMISIFY(fx.loop,
				nats_request(&nats_one, script, on_nats,
					     avow_threaded(AVOW_CONTEXT))),
			 message_tell, NULL);
}

FX_TEST(s11_another_thread_goes_well)
{
	meets(nats_ask, GOES_WELL, "reply");
	nats_end(&nats_one);
}

FX_TEST(s11_another_thread_fails)
{
	meets(nats_ask, FAILS, "!on_nats 26 Timeout");
	nats_end(&nats_one);
}

FX_TEST(s11_another_thread_is_refused)
{
	avow_catch(nats_ask(REFUSES), fx_note, "refused");
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "refused:!", 9), 0);
}

FX_TEST(s11_another_thread_is_cancelled)
{
	avow_promise *const p = nats_ask(GOES_WELL);

	avow_cancel(p);
	fx_run();
	nats_end(&nats_one);
	fx_run();

	fx_expect("");
	(void)fx_take_reports();
}

FX_TEST(s11_another_thread_is_never_answered)
{
	avow_catch(nats_ask(IS_SILENT), fx_note, "abandoned");
	nats_end(&nats_one);
	fx_free_loop();

	ck_assert_int_eq(strncmp(fx_take_log(), "abandoned:!", 11), 0);
	ck_assert_ptr_nonnull(strstr(fx_take_reports(),
				     "abandoned:nats_request("));
}


/* ------------------------------------------- S12 no context: a signal, a log
 *
 * The promise waits in a slot, which is NULL when nobody waits any more.
 */

static avow_promise *next_buzz;

static void on_buzz(int level)
{
	if (!next_buzz)
		return;
	avow_resolve(next_buzz, level < 0 ? avow_errno(EIO) : avow_int(level));
}

static avow_promise *buzz(outcome script)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_slot(p, &next_buzz);
	buzzer_on(on_buzz);
	buzzer_press(fx.ev, script);
	return p;
}

FX_TEST(s12_no_context_goes_well)
{
	meets(buzz, GOES_WELL, "3");
	ck_assert_ptr_null(next_buzz);
	meets(buzz, GOES_WELL, "3");
}

FX_TEST(s12_no_context_fails)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "!errno %d %s", EIO,
		 strerror(EIO));
	meets(buzz, FAILS, expected);
}

FX_TEST(s12_no_context_answers_at_once)
{
	meets(buzz, AT_ONCE, "3");
}

FX_TEST(s12_no_context_is_called_when_nobody_waits)
{
	meets(buzz, GOES_WELL, "3");
	buzzer_press(fx.ev, GOES_WELL);
	fx_run();

	fx_expect("");
	nothing_is_left();
}

FX_TEST(s12_no_context_is_cancelled)
{
	avow_promise *const p = buzz(GOES_WELL);

	avow_catch(p, fx_note, "cancelled");
	avow_cancel(p);
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "cancelled:!", 11), 0);
	ck_assert_ptr_null(next_buzz);
	nothing_is_left();
}

FX_TEST(s12_no_context_is_never_answered)
{
	avow_catch(buzz(IS_SILENT), fx_note, "abandoned");
	fx_run();
	fx_free_loop();

	ck_assert_int_eq(strncmp(fx_take_log(), "abandoned:!", 11), 0);
	ck_assert_ptr_null(next_buzz);
	nothing_is_left();
}

int main(void)
{
	return fx_main("shapes");
}
