/*
 * SPDX-License-Identifier: MIT
 *
 * error.c - errors: plain codes of a domain, errors with a message, a cause
 * and a place, and text for people of any value.
 *
 * A plain code is a value whose type is the first member of its domain, so it
 * needs no memory.  Everything else is a counted container.
 */
#include "value.h"

#include "alloc.h"
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct error {
	struct avow__container head;
	const avow_domain *domain;
	int code;
	const char *place;
	avow_value cause;
	char message[];
};

/* An error of any type carried as data. */
struct error_box {
	struct avow__container head;
	avow_value value;
};

static const char *error_errno_text(int code)
{
	/* The POSIX strerror_r: strerror() is not for threads. */
	static __thread char text[128];
	if (strerror_r(code, text, sizeof(text)) != 0)
		snprintf(text, sizeof(text), "error %d", code);
	return text;
}

static const char *error_core_text(int code)
{
	switch (code) {
	case AVOW_ECANCELLED:
		return "cancelled";
	case AVOW_ETIMEOUT:
		return "timed out";
	case AVOW_EABANDONED:
		return "abandoned: the loop was freed first";
	case AVOW_ECYCLE:
		return "a promise cannot follow itself";
	case AVOW_EDEADLOCK:
		return "deadlock: nothing is left that could settle it";
	case AVOW_EINTERRUPTED:
		return "interrupted by ev_break()";
	case AVOW_ENESTING:
		return "waits are nested too deep";
	case AVOW_ENOTCOPYABLE:
		return "the value cannot be copied";
	case AVOW_EREASON:
		return "rejected with a value that is no error";
	case AVOW_EINVALID:
		return "invalid argument";
	case AVOW_EAGGREGATE:
		return "too many promises were rejected";
	case AVOW_ECLOSED:
		return "closed";
	default:
		return NULL;
	}
}

static const char *error_start_text(int code)
{
	(void)code;
	return "the call did not start";
}

void avow_domain_describe(avow_value value, char *text, size_t size)
{
	const avow_domain *domain = (const avow_domain *)value.type;
	const int code = (int)value.as.i64;
	const char *what = domain->text ? domain->text(code) : NULL;
	if (what && *what)
		snprintf(text, size, "%s", what);
	else
		snprintf(text, size, "%s error %d", domain->type.name, code);
}

const avow_domain avow_errno_domain = {
	{ .name = "errno", .is_error = true, .describe = avow_domain_describe },
	error_errno_text
};
const avow_domain avow_core_domain = {
	{ .name = "avow", .is_error = true, .describe = avow_domain_describe },
	error_core_text
};
const avow_domain avow_start_domain = {
	{ .name = "start", .is_error = true, .describe = avow_domain_describe },
	error_start_text
};

static void error_describe(avow_value value, char *text, size_t size)
{
	const struct error *error = value.as.ptr;
	snprintf(text, size, "%s", error->message);
}

const avow_type avow_error_type = { .name = "error",
				    .drop = avow__container_drop,
				    .copy = avow__container_copy,
				    .is_error = true,
				    .describe = error_describe };

static void error_describe_box(avow_value value, char *text, size_t size)
{
	const struct error_box *box = value.as.ptr;
	snprintf(text, size, "error as data: %s", avow_message(box->value));
}

/* Reified: a code or an error keeps its payload and needs no memory. */
static void error_describe_code(avow_value value, char *text, size_t size);
static const avow_type error_box_type = { .name = "error as data",
					  .drop = avow__container_drop,
					  .copy = avow__container_copy,
					  .describe = error_describe_box };
static const avow_type error_data_type = { .name = "error as data",
					   .drop = avow__container_drop,
					   .copy = avow__container_copy,
					   .describe = error_describe };
static const avow_type error_code_type = { .name = "errno as data",
					   .describe = error_describe_code };

static void error_describe_code(avow_value value, char *text, size_t size)
{
	value.type = &avow_errno_domain.type;
	avow_domain_describe(value, text, size);
}

/* ---------------------------------------------------------- Constructors */

static void error_end(struct avow__container *container)
{
	struct error *error = (struct error *)container;
	avow__value_drop(error->cause);
	avow__free(error);
}

/* Many libraries give errno below zero. */
static int error_code_of(const avow_domain *domain, int code)
{
	return domain == &avow_errno_domain && code < 0 && code > INT_MIN ?
		       -code :
		       code;
}

/* Takes `cause` over.  Out of memory the code remains. */
AVOW_PRINTF(5, 0)
static avow_value error_new(const char *place, const avow_domain *domain,
			    int code, avow_value cause, const char *format,
			    va_list args)
{
	va_list again;
	va_copy(again, args);
	const int length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	const size_t size = length < 0 ? 1 : (size_t)length + 1;

	struct error *error = avow__alloc(sizeof(*error) + size);
	if (!error) {
		avow__value_drop(cause);
		return avow_domain_error(domain, code);
	}
	error->head = (struct avow__container){ .uses = 1, .end = error_end };
	error->domain = domain;
	error->code = error_code_of(domain, code);
	error->place = place;
	error->cause = cause;
	error->message[0] = '\0';
	vsnprintf(error->message, size, format, args);
	return avow_own(error, &avow_error_type);
}

avow_value avow_error_at(const char *place, const avow_domain *domain, int code,
			 const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const avow_value error =
		error_new(place, domain, code, avow__none, format, args);
	va_end(args);
	return error;
}

avow_value (avow_error)(int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const avow_value error = error_new(NULL, &avow_errno_domain, code,
					   avow__none, format, args);
	va_end(args);
	return error;
}

avow_value avow_domain_error(const avow_domain *domain, int code)
{
	avow_value error = { { NULL }, &domain->type };
	error.as.i64 = error_code_of(domain, code);
	return error;
}

avow_value avow_errno(int code)
{
	return avow_domain_error(&avow_errno_domain, code);
}

avow_value avow__core_error(int code)
{
	return avow_domain_error(&avow_core_domain, code);
}

avow_value avow_wrap_at(const char *place, avow_value cause, const char *format,
			...)
{
	avow__given_check(cause);
	const avow_domain *domain = avow_domain_of(cause);
	va_list args;
	va_start(args, format);
	const avow_value error =
		error_new(place, domain ? domain : &avow_core_domain,
			  domain ? avow_code(cause) : AVOW_EREASON, cause,
			  format, args);
	va_end(args);
	return error;
}

avow_value (avow_wrap)(avow_value cause, const char *format, ...)
{
	const avow_domain *domain = avow_domain_of(cause);
	va_list args;
	va_start(args, format);
	const avow_value error =
		error_new(NULL, domain ? domain : &avow_core_domain,
			  domain ? avow_code(cause) : AVOW_EREASON, cause,
			  format, args);
	va_end(args);
	return error;
}

avow_value avow__error_around(const char *place, int code, avow_value cause,
			      const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const avow_value error =
		error_new(place, &avow_core_domain, code, cause, format, args);
	va_end(args);
	return error;
}

avow_value avow__reason(const char *place, avow_value reason)
{
	return avow_wrap_at(place, reason, "rejected with %s: %s",
			    reason.type ? reason.type->name : "no value",
			    avow_message(reason));
}

/* --------------------------------------------------------------- Reading */

static const struct error *error_of(avow_value value)
{
	return value.type == &avow_error_type ? value.as.ptr : NULL;
}

const avow_domain *avow_domain_of(avow_value value)
{
	const struct error *error = error_of(value);
	if (error)
		return error->domain;
	return value.type && value.type->describe == avow_domain_describe ?
		       (const avow_domain *)value.type :
		       NULL;
}

int avow_code(avow_value value)
{
	const struct error *error = error_of(value);
	if (error)
		return error->code;
	return avow_domain_of(value) ? (int)value.as.i64 : 0;
}

bool avow_error_is(avow_value error, const avow_domain *domain, int code)
{
	return avow_domain_of(error) == domain && domain &&
	       avow_code(error) == code;
}

bool avow_is_cancelled(avow_value value)
{
	return avow_error_is(value, &avow_core_domain, AVOW_ECANCELLED);
}

bool avow_is_timeout(avow_value value)
{
	return avow_error_is(value, &avow_core_domain, AVOW_ETIMEOUT);
}

avow_value avow_cause(avow_value value)
{
	const struct error *error = error_of(value);
	return error ? error->cause : avow__none;
}

const char *avow_error_place(avow_value value)
{
	const struct error *error = error_of(value);
	return error && error->place ? error->place : "";
}

const char *avow_message(avow_value value)
{
	static __thread char texts[8][256];
	static __thread unsigned next;
	const struct error *error = error_of(value);
	if (error)
		return error->message;
	if (value.type == &avow_str_type && value.as.ptr)
		return value.as.ptr;
	char *const text = texts[next];
	const size_t size = sizeof(texts[next]);
	next = (next + 1) % 8;
	text[0] = '\0';
	if (!value.type)
		snprintf(text, size, "none");
	else if (value.type->describe)
		value.type->describe(value, text, size);
	else
		snprintf(text, size, "%s %p", value.type->name, value.as.ptr);
	return text;
}

/* ---------------------------------------------------------------- As data */

static void error_end_box(struct avow__container *container)
{
	struct error_box *box = (struct error_box *)container;
	avow__value_drop(box->value);
	avow__free(box);
}

avow_value avow_reify(avow_value error)
{
	if (!avow__value_is_error(error))
		return error;
	if (error.type == &avow_error_type ||
	    error.type == &avow_errno_domain.type) {
		error.type = error.type == &avow_error_type ? &error_data_type :
							      &error_code_type;
		return error;
	}
	struct error_box *box = avow__alloc(sizeof(*box));
	if (!box) {
		avow__value_drop(error);
		return avow_errno(ENOMEM);
	}
	box->head = (struct avow__container){ .uses = 1, .end = error_end_box };
	box->value = error;
	return avow_own(box, &error_box_type);
}

avow_value avow_unreify(avow_value value)
{
	if (value.type == &error_data_type) {
		value.type = &avow_error_type;
	} else if (value.type == &error_code_type) {
		value.type = &avow_errno_domain.type;
	} else if (value.type == &error_box_type) {
		struct error_box *box = value.as.ptr;
		avow_value error = box->value;
		if (__atomic_load_n(&box->head.uses, __ATOMIC_ACQUIRE) == 1)
			box->value = avow__none;
		else
			error = avow_copy(error); /* others read the box */
		avow__container_drop(box);
		return error;
	}
	return value;
}
