/*
 * SPDX-License-Identifier: MIT
 *
 * avow/callback.h - the macros that write types, error domains and callbacks.
 *
 * Included by avow.h; include that.  What stands here only writes small
 * functions in terms of avow.h, so that each could be written by hand; the
 * page docs/promisify.md shows both.  Names that end in `_` are not for use.
 */
#ifndef AVOW_CALLBACK_H
#define AVOW_CALLBACK_H

#include "../avow.h"

#include <errno.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Memory for AVOW_STRUCT: small blocks are cached by the thread's loop. */
AVOW_API void *avow_block_alloc_(size_t size);
AVOW_API void avow_block_free_(void *block, size_t size);

#ifdef __cplusplus
}
#endif

/* A declaration that swallows the semicolon after a macro, at file scope. */
#define AVOW_END_(name) struct avow_end_of_##name##_
/* A typedef that may stand twice, in a header and beside the definition. */
#ifdef __clang__
#define AVOW_TYPEDEF_(T, name)                                             \
	_Pragma("clang diagnostic push")                                   \
	_Pragma("clang diagnostic ignored \"-Wtypedef-redefinition\"")     \
	typedef T name;                                                    \
	_Pragma("clang diagnostic pop")
#else
#define AVOW_TYPEDEF_(T, name) __extension__ typedef T name;
#endif
/* False at compile time is an array of negative size. */
#define AVOW_ASSERT_(name, claim) \
	typedef char avow_##name##_[(claim) ? 1 : -1] AVOW_MAYBE_UNUSED


/* ------------------------------------------------------------------ Types */

/* In a header: what AVOW_TYPE defines, for a payload type T of <= 8 bytes. */
#define AVOW_TYPE_DECLARE(name, T)                                         \
	AVOW_TYPEDEF_(T, name##_payload)                                   \
	extern const avow_type name##_type;                                \
	AVOW_MUST_USE avow_value name##_value(name##_payload x);           \
	name##_payload name##_get(avow_value value);                       \
	AVOW_MUST_USE name##_payload name##_take(avow_value value);        \
	AVOW_END_(name)

/* In one source file: AVOW_TYPE(name, T), (name, T, drop) or (name, T, drop,
 * copy), with `void drop(T)` and `T copy(T)`. */
#define AVOW_TYPE(...) \
	AVOW_PICK_(__VA_ARGS__, AVOW_TYPE4_, AVOW_TYPE3_, AVOW_TYPE2_, 0) \
	(__VA_ARGS__)
#define AVOW_PICK_(a, b, c, d, chosen, ...) chosen

/* The same with the members of avow_type after `name` written out: drop, copy,
 * then, is_error, describe. */
#define AVOW_TYPE_WITH(name, T, ...)                                      \
	AVOW_TYPE_DECLARE(name, T);                                        \
	AVOW_ASSERT_(name##_fits_in_a_value,                               \
		     sizeof(name##_payload) <= 8);                         \
	const avow_type name##_type = { #name, __VA_ARGS__ };              \
	avow_value name##_value(name##_payload x)                          \
	{                                                                  \
		avow_value value = avow_none();                            \
		memcpy(&value.as, &x, sizeof(x));                          \
		value.type = &name##_type;                                 \
		return value;                                              \
	}                                                                  \
	name##_payload name##_get(avow_value value)                        \
	{                                                                  \
		name##_payload x;                                          \
		avow_expect_(value, &name##_type);                         \
		memcpy(&x, &value.as, sizeof(x));                          \
		return x;                                                  \
	}                                                                  \
	name##_payload name##_take(avow_value value)                       \
	{                                                                  \
		name##_payload x;                                          \
		avow_expect_(value, &name##_type);                         \
		value = avow_take(value);                                  \
		memset(&x, 0, sizeof(x));                                  \
		if (avow_is(value, &name##_type))                          \
			memcpy(&x, &value.as, sizeof(x));                  \
		else                                                       \
			avow_drop(value);                                  \
		return x;                                                  \
	}                                                                  \
	AVOW_END_(name)

#define AVOW_TYPE2_(name, T) \
	AVOW_TYPE_WITH(name, T, 0, 0, 0, false, 0)
#define AVOW_TYPE3_(name, T, free_one)                                     \
	static void name##_drop_(void *ptr)                                \
	{                                                                  \
		free_one((T)ptr);                                          \
	}                                                                  \
	AVOW_TYPE_WITH(name, T, name##_drop_, 0, 0, false, 0)
#define AVOW_TYPE4_(name, T, free_one, copy_one)                           \
	static void name##_drop_(void *ptr)                                \
	{                                                                  \
		free_one((T)ptr);                                          \
	}                                                                  \
	static avow_value name##_copy_(avow_value value)                   \
	{                                                                  \
		avow_value copy = value;                                   \
		copy.as.ptr = copy_one((T)value.as.ptr);                   \
		return copy.as.ptr ? copy : avow_errno(ENOMEM);   \
	}                                                                  \
	AVOW_TYPE_WITH(name, T, name##_drop_, name##_copy_, 0, false, 0)

/* In a header: what AVOW_STRUCT defines. */
#define AVOW_STRUCT_DECLARE(name, T)                                       \
	AVOW_TYPEDEF_(T, name##_payload)                                   \
	extern const avow_type name##_type;                                \
	AVOW_MUST_USE avow_value name##_value(T x);                        \
	T *name##_get(avow_value value);                                   \
	AVOW_END_(name)

/* In one source file: AVOW_STRUCT(name, struct T) or (name, struct T, clear),
 * with `void clear(struct T *)`.  Up to 64 bytes need no malloc once the loop
 * is warm.  name_value() out of memory clears `x` and gives an error. */
#define AVOW_STRUCT(...) \
	AVOW_PICK_(__VA_ARGS__, 0, AVOW_STRUCT3_, AVOW_STRUCT2_, 0)        \
	(__VA_ARGS__)
#define AVOW_STRUCT2_(name, T) \
	AVOW_STRUCT3_(name, T, AVOW_CLEAR_NOTHING_)
#define AVOW_CLEAR_NOTHING_(x) ((void)(x))
#define AVOW_STRUCT3_(name, T, clear)                                      \
	AVOW_STRUCT_DECLARE(name, T);                                      \
	AVOW_STRUCT_BODY_(, name, T, clear)

/* `linkage` is empty or static: AVOW_CALLBACK makes private structs. */
#define AVOW_STRUCT_BODY_(linkage, name, T, clear)                         \
	static void name##_drop_(void *ptr)                                \
	{                                                                  \
		clear((T *)ptr);                                           \
		avow_block_free_(ptr, sizeof(T));                          \
	}                                                                  \
	linkage const avow_type name##_type = {                            \
		#name, name##_drop_, 0, 0, false, 0                        \
	};                                                                 \
	AVOW_MAYBE_UNUSED linkage avow_value name##_value(T x)             \
	{                                                                  \
		avow_value value = avow_none();                            \
		value.as.ptr = avow_block_alloc_(sizeof(T));               \
		if (!value.as.ptr) {                                       \
			clear(&x);                                         \
			return avow_errno(ENOMEM);                \
		}                                                          \
		memcpy(value.as.ptr, &x, sizeof(T));                       \
		value.type = &name##_type;                                 \
		return value;                                              \
	}                                                                  \
	AVOW_MAYBE_UNUSED linkage T *name##_get(avow_value value)          \
	{                                                                  \
		avow_expect_(value, &name##_type);                         \
		return (T *)value.as.ptr;                                  \
	}                                                                  \
	AVOW_END_(name)

/*
 * AVOW_DOMAIN(photo, photo_strerror) defines `const avow_domain photo_domain`
 * for codes that `const char *photo_strerror(int)` (or of an enum) explains.
 * AVOW_DOMAIN_DECLARE(photo) goes into a header.
 */
#define AVOW_DOMAIN_DECLARE(name) extern const avow_domain name##_domain
#define AVOW_DOMAIN(name, explain) \
	AVOW_DOMAIN_DECLARE(name); \
	AVOW_DOMAIN_BODY_(, name, int, explain)
#define AVOW_DOMAIN_BODY_(linkage, name, T, explain)                       \
	static const char *name##_text_(int code)                          \
	{                                                                  \
		return (explain)((T)code);                                 \
	}                                                                  \
	linkage const avow_domain name##_domain = {                        \
		{ #name, 0, 0, 0, true, avow_domain_describe },            \
		name##_text_                                               \
	}


/* -------------------------------------------------------------- Callbacks
 *
 * Roles, one for each parameter of the callback's prototype, in its order, at
 * most eight, with exactly one AVOW_CTX:
 *
 *   AVOW_CTX(T)              the context pointer (void *, const void *); once
 *   AVOW_ERR(T, strerror)    a code, 0 is success; codes go into the domain
 *                            <callback>_domain, explained by strerror
 *   AVOW_NEGERR(T, strerror) a code that is an error below 0
 *   AVOW_ERR_IN(T, domain)   as AVOW_ERR, codes in a domain that exists
 *   AVOW_NEGERR_IN(T, domain)
 *   AVOW_OWN(type)           a result that becomes ours, of an AVOW_TYPE
 *   AVOW_OWN(type, T)        the same where the prototype says T (void *)
 *   AVOW_COPY(type[, T])     a borrowed result: copied through its type
 *   AVOW_BYTES(P, N)         two parameters, a pointer and a length: copied
 *                            into a string value; NULL gives none
 *   AVOW_STR(P)              a borrowed string that ends in NUL (const char *):
 *                            copied into a string value; NULL gives none
 *   AVOW_NUM(T)              a number
 *   AVOW_SKIP(T)             nothing of interest
 *
 * No result gives none, one gives its value, several give a struct: its type
 * is <callback>_results, read with <callback>_results_get(value), and its
 * members are named for their place in the prototype, p1 to p8 (AVOW_BYTES
 * counts as one; it and AVOW_STR give a string value).  On an error, owned
 * results that came along are dropped.
 */
#define AVOW_CTX(T) (ctx_, T)
#define AVOW_ERR(T, explain) (err_, T, explain)
#define AVOW_NEGERR(T, explain) (negerr_, T, explain)
#define AVOW_ERR_IN(T, domain) (errin_, T, domain)
#define AVOW_NEGERR_IN(T, domain) (negerrin_, T, domain)
#define AVOW_OWN(...) \
	AVOW_PICK_(__VA_ARGS__, 0, 0, AVOW_OWN2_, AVOW_OWN1_, 0)(__VA_ARGS__)
#define AVOW_OWN1_(type) (own_, type, type##_payload)
#define AVOW_OWN2_(type, T) (own_, type, T)
#define AVOW_COPY(...) \
	AVOW_PICK_(__VA_ARGS__, 0, 0, AVOW_COPY2_, AVOW_COPY1_, 0)(__VA_ARGS__)
#define AVOW_COPY1_(type) (copy_, type, type##_payload)
#define AVOW_COPY2_(type, T) (copy_, type, T)
#define AVOW_BYTES(P, N) (bytes_, P, N)
#define AVOW_NUM(T) (num_, T)
#define AVOW_STR(P) (str_, P)
#define AVOW_SKIP(T) (skip_, T)

/* AVOW_EACH_(op, name, roles...): op##kind(name, i, role's arguments) each. */
#define AVOW_EACH_(op, name, ...)                                          \
	AVOW_NTH_(__VA_ARGS__, AVOW_EACH8_, AVOW_EACH7_, AVOW_EACH6_,      \
		  AVOW_EACH5_, AVOW_EACH4_, AVOW_EACH3_, AVOW_EACH2_,      \
		  AVOW_EACH1_, 0)                                          \
	(op, name, __VA_ARGS__)
#define AVOW_NTH_(a, b, c, d, e, f, g, h, chosen, ...) chosen
#define AVOW_EACH1_(o, n, a) AVOW_DO_(o, n, 1, a)
#define AVOW_EACH2_(o, n, a, b) AVOW_EACH1_(o, n, a) AVOW_DO_(o, n, 2, b)
#define AVOW_EACH3_(o, n, a, b, c) AVOW_EACH2_(o, n, a, b) AVOW_DO_(o, n, 3, c)
#define AVOW_EACH4_(o, n, a, b, c, d) \
	AVOW_EACH3_(o, n, a, b, c) AVOW_DO_(o, n, 4, d)
#define AVOW_EACH5_(o, n, a, b, c, d, e) \
	AVOW_EACH4_(o, n, a, b, c, d) AVOW_DO_(o, n, 5, e)
#define AVOW_EACH6_(o, n, a, b, c, d, e, f) \
	AVOW_EACH5_(o, n, a, b, c, d, e) AVOW_DO_(o, n, 6, f)
#define AVOW_EACH7_(o, n, a, b, c, d, e, f, g) \
	AVOW_EACH6_(o, n, a, b, c, d, e, f) AVOW_DO_(o, n, 7, g)
#define AVOW_EACH8_(o, n, a, b, c, d, e, f, g, h) \
	AVOW_EACH7_(o, n, a, b, c, d, e, f, g) AVOW_DO_(o, n, 8, h)
#define AVOW_DO_(op, name, i, role) AVOW_DO2_(op, name, i, AVOW_BARE_ role)
#define AVOW_BARE_(...) __VA_ARGS__
#define AVOW_DO2_(op, name, i, ...) AVOW_DO3_(op, name, i, __VA_ARGS__)
#define AVOW_DO3_(op, name, i, kind, ...) op##kind(name, i, __VA_ARGS__)

/* The parameter list: a comma before every parameter but the first. */
#define AVOW_COMMA_1
#define AVOW_COMMA_2 ,
#define AVOW_COMMA_3 ,
#define AVOW_COMMA_4 ,
#define AVOW_COMMA_5 ,
#define AVOW_COMMA_6 ,
#define AVOW_COMMA_7 ,
#define AVOW_COMMA_8 ,
#define AVOW_PARAM_ctx_(name, i, T) AVOW_COMMA_##i T p##i
#define AVOW_PARAM_err_(name, i, T, x) AVOW_COMMA_##i T p##i
#define AVOW_PARAM_negerr_(name, i, T, x) AVOW_COMMA_##i T p##i
#define AVOW_PARAM_errin_(name, i, T, x) AVOW_COMMA_##i T p##i
#define AVOW_PARAM_negerrin_(name, i, T, x) AVOW_COMMA_##i T p##i
#define AVOW_PARAM_own_(name, i, type, T) AVOW_COMMA_##i T p##i
#define AVOW_PARAM_copy_(name, i, type, T) AVOW_COMMA_##i T p##i
#define AVOW_PARAM_bytes_(name, i, P, N) AVOW_COMMA_##i P p##i, N n##i
#define AVOW_PARAM_num_(name, i, T) AVOW_COMMA_##i T p##i
#define AVOW_PARAM_str_(name, i, P) AVOW_COMMA_##i P p##i
#define AVOW_PARAM_skip_(name, i, T) AVOW_COMMA_##i T p##i

/* The callback's own domain, where a role brings a strerror. */
#define AVOW_DOMAIN_ctx_(name, i, T)
#define AVOW_DOMAIN_err_(name, i, T, explain) \
	AVOW_DOMAIN_BODY_(AVOW_MAYBE_UNUSED static, name, T, explain);
#define AVOW_DOMAIN_negerr_(name, i, T, explain) \
	AVOW_DOMAIN_err_(name, i, T, explain)
#define AVOW_DOMAIN_errin_(name, i, T, domain)
#define AVOW_DOMAIN_negerrin_(name, i, T, domain)
#define AVOW_DOMAIN_own_(name, i, type, T)
#define AVOW_DOMAIN_copy_(name, i, type, T)
#define AVOW_DOMAIN_bytes_(name, i, P, N)
#define AVOW_DOMAIN_num_(name, i, T)
#define AVOW_DOMAIN_str_(name, i, P)
#define AVOW_DOMAIN_skip_(name, i, T)

/* How many results: AVOW_NTH_ over a padded list picks none, one or many. */
#define AVOW_RESULT_ctx_(name, i, T)
#define AVOW_RESULT_err_(name, i, T, x)
#define AVOW_RESULT_negerr_(name, i, T, x)
#define AVOW_RESULT_errin_(name, i, T, x)
#define AVOW_RESULT_negerrin_(name, i, T, x)
#define AVOW_RESULT_own_(name, i, type, T) , 0
#define AVOW_RESULT_copy_(name, i, type, T) , 0
#define AVOW_RESULT_bytes_(name, i, P, N) , 0
#define AVOW_RESULT_num_(name, i, T) , 0
#define AVOW_RESULT_str_(name, i, P) , 0
#define AVOW_RESULT_skip_(name, i, T)
#define AVOW_ARITY_(none, one, many, ...)                                  \
	AVOW_ARITY2_(0 AVOW_EACH_(AVOW_RESULT_, 0, __VA_ARGS__), many,     \
		     many, many, many, many, many, one, none, 0)
#define AVOW_ARITY2_(...) AVOW_ARITY3_(__VA_ARGS__)
#define AVOW_ARITY3_(z, a, b, c, d, e, f, g, chosen, ...) chosen

/* Members of the struct of several results. */
#define AVOW_MEMBER_ctx_(name, i, T)
#define AVOW_MEMBER_err_(name, i, T, x)
#define AVOW_MEMBER_negerr_(name, i, T, x)
#define AVOW_MEMBER_errin_(name, i, T, x)
#define AVOW_MEMBER_negerrin_(name, i, T, x)
#define AVOW_MEMBER_own_(name, i, type, T) type##_payload p##i;
#define AVOW_MEMBER_copy_(name, i, type, T) type##_payload p##i;
#define AVOW_MEMBER_bytes_(name, i, P, N) avow_value p##i;
#define AVOW_MEMBER_num_(name, i, T) T p##i;
#define AVOW_MEMBER_str_(name, i, P) avow_value p##i;
#define AVOW_MEMBER_skip_(name, i, T)

/* The end of each member. */
#define AVOW_CLEAR_ctx_(name, i, T)
#define AVOW_CLEAR_err_(name, i, T, x)
#define AVOW_CLEAR_negerr_(name, i, T, x)
#define AVOW_CLEAR_errin_(name, i, T, x)
#define AVOW_CLEAR_negerrin_(name, i, T, x)
#define AVOW_CLEAR_own_(name, i, type, T) avow_drop(type##_value(r->p##i));
#define AVOW_CLEAR_copy_(name, i, type, T) avow_drop(type##_value(r->p##i));
#define AVOW_CLEAR_bytes_(name, i, P, N) avow_drop(r->p##i);
#define AVOW_CLEAR_num_(name, i, T)
#define AVOW_CLEAR_str_(name, i, P) avow_drop(r->p##i);
#define AVOW_CLEAR_skip_(name, i, T)

/* First of all: the context, and whether it failed. */
#define AVOW_FAIL_ctx_(name, i, T)                                         \
	const void *const avow_callback_needs_one_AVOW_CTX_ =              \
		(const void *)p##i;
#define AVOW_FAIL_if_(i, claim, domain)                                    \
	if ((claim) && !failed_) {                                         \
		failed_ = true;                                            \
		failure_ = avow_domain_error(&(domain), (int)p##i);        \
	}
#define AVOW_FAIL_err_(name, i, T, x) \
	AVOW_FAIL_if_(i, p##i != 0, name##_domain)
#define AVOW_FAIL_negerr_(name, i, T, x) \
	AVOW_FAIL_if_(i, p##i < 0, name##_domain)
#define AVOW_FAIL_errin_(name, i, T, domain) \
	AVOW_FAIL_if_(i, p##i != 0, domain)
#define AVOW_FAIL_negerrin_(name, i, T, domain) \
	AVOW_FAIL_if_(i, p##i < 0, domain)
#define AVOW_FAIL_own_(name, i, type, T)
#define AVOW_FAIL_copy_(name, i, type, T)
#define AVOW_FAIL_bytes_(name, i, P, N)
#define AVOW_FAIL_num_(name, i, T)
#define AVOW_FAIL_str_(name, i, P)
#define AVOW_FAIL_skip_(name, i, T) (void)p##i;

/* A result as a value of ours. */
#define AVOW_AS_VALUE_own_(i, type) type##_value((type##_payload)p##i)
#define AVOW_AS_VALUE_copy_(i, type) \
	avow_copy(type##_value((type##_payload)(uintptr_t)p##i))
#define AVOW_AS_VALUE_bytes_(i)                                            \
	(p##i ? avow_bytes(p##i, n##i > 0 ? (size_t)n##i : 0) : avow_none())
#define AVOW_AS_VALUE_num_(i, T) \
	(AVOW_IS_REAL_(T) ? avow_double((double)p##i) : avow_int((int64_t)p##i))
/* Does T keep fractions?  (A bool turns one half into true, but so is 1.5.) */
#define AVOW_IS_REAL_(T) ((T)0.5 != 0 && (T)1.5 != (T)1)

/* One result, or none. */
#define AVOW_ONE_ctx_(name, i, T)
#define AVOW_ONE_err_(name, i, T, x)
#define AVOW_ONE_negerr_(name, i, T, x)
#define AVOW_ONE_errin_(name, i, T, x)
#define AVOW_ONE_negerrin_(name, i, T, x)
#define AVOW_ONE_own_(name, i, type, T)                                    \
	if (failed_)                                                       \
		avow_drop(AVOW_AS_VALUE_own_(i, type));                    \
	else                                                               \
		value_ = AVOW_AS_VALUE_own_(i, type);
#define AVOW_ONE_copy_(name, i, type, T) \
	if (!failed_)                    \
		value_ = AVOW_AS_VALUE_copy_(i, type);
#define AVOW_ONE_bytes_(name, i, P, N) \
	if (!failed_)                  \
		value_ = AVOW_AS_VALUE_bytes_(i);
#define AVOW_ONE_num_(name, i, T) value_ = AVOW_AS_VALUE_num_(i, T);
#define AVOW_ONE_str_(name, i, P) \
	if (!failed_)             \
		value_ = avow_str(p##i);
#define AVOW_ONE_skip_(name, i, T)

/* Several results: gathered in `results_`, which owns them from then on. */
#define AVOW_MANY_ctx_(name, i, T)
#define AVOW_MANY_err_(name, i, T, x)
#define AVOW_MANY_negerr_(name, i, T, x)
#define AVOW_MANY_errin_(name, i, T, x)
#define AVOW_MANY_negerrin_(name, i, T, x)
#define AVOW_MANY_own_(name, i, type, T) \
	results_.p##i = (type##_payload)p##i;
#define AVOW_MANY_copy_(name, i, type, T)                                  \
	if (!failed_) {                                                    \
		value_ = AVOW_AS_VALUE_copy_(i, type);                     \
		failed_ = avow_is_error(value_);                           \
		if (failed_)                                               \
			failure_ = value_;                                 \
		else                                                       \
			memcpy(&results_.p##i, &value_.as,                 \
			       sizeof(results_.p##i));                     \
	}
/* A string or bytes, copied into a value of its own. */
#define AVOW_MANY_text_(i, copy)                                           \
	if (!failed_) {                                                    \
		results_.p##i = copy;                                      \
		failed_ = avow_is_error(results_.p##i);                    \
		if (failed_) {                                             \
			failure_ = results_.p##i;                          \
			results_.p##i = avow_none();                       \
		}                                                          \
	}
#define AVOW_MANY_bytes_(name, i, P, N) \
	AVOW_MANY_text_(i, AVOW_AS_VALUE_bytes_(i))
#define AVOW_MANY_str_(name, i, P) AVOW_MANY_text_(i, avow_str(p##i))
#define AVOW_MANY_num_(name, i, T) results_.p##i = p##i;
#define AVOW_MANY_skip_(name, i, T)

#define AVOW_CALLBACK(name, ...)                                           \
	AVOW_EACH_(AVOW_DOMAIN_, name, __VA_ARGS__)                        \
	AVOW_ARITY_(AVOW_FEW_, AVOW_FEW_, AVOW_SEVERAL_, __VA_ARGS__)      \
	(name, __VA_ARGS__)

#define AVOW_FEW_(name, ...)                                               \
	AVOW_MAYBE_UNUSED static void name(                                \
		AVOW_EACH_(AVOW_PARAM_, name, __VA_ARGS__))                \
	{                                                                  \
		avow_value value_ = avow_none();                           \
		avow_value failure_ = avow_none();                         \
		bool failed_ = false;                                      \
		AVOW_EACH_(AVOW_FAIL_, name, __VA_ARGS__)                  \
		AVOW_EACH_(AVOW_ONE_, name, __VA_ARGS__)                   \
		avow_settle(avow_callback_needs_one_AVOW_CTX_,             \
			    failed_ ? failure_ : value_);                  \
	}                                                                  \
	AVOW_END_(name)

#define AVOW_SEVERAL_(name, ...)                                           \
	typedef struct name##_results {                                    \
		AVOW_EACH_(AVOW_MEMBER_, name, __VA_ARGS__)                \
	} name##_results;                                                  \
	static void name##_clear_(name##_results *r)                       \
	{                                                                  \
		(void)r;                                                   \
		AVOW_EACH_(AVOW_CLEAR_, name, __VA_ARGS__)                 \
	}                                                                  \
	AVOW_STRUCT_BODY_(static, name##_results, name##_results,          \
			  name##_clear_);                                  \
	AVOW_MAYBE_UNUSED static void name(                                \
		AVOW_EACH_(AVOW_PARAM_, name, __VA_ARGS__))                \
	{                                                                  \
		avow_value value_ = avow_none();                           \
		avow_value failure_ = avow_none();                         \
		bool failed_ = false;                                      \
		name##_results results_;                                   \
		memset(&results_, 0, sizeof(results_));                    \
		AVOW_EACH_(AVOW_FAIL_, name, __VA_ARGS__)                  \
		AVOW_EACH_(AVOW_MANY_, name, __VA_ARGS__)                  \
		if (failed_) {                                             \
			name##_clear_(&results_);                          \
			value_ = failure_;                                 \
		} else {                                                   \
			value_ = name##_results_value(results_);           \
		}                                                          \
		avow_settle(avow_callback_needs_one_AVOW_CTX_, value_);    \
	}                                                                  \
	AVOW_END_(name)


/* -------------------------------------------------------------- The call */

/* Where the context pointer goes, inside AVOW_PROMISIFY; elsewhere it is an
 * identifier that does not exist. */
#define AVOW_CONTEXT avow_context_of_the_call_

/* Each evaluates the call once (not at all when out of memory). */
#define AVOW_PROMISIFY(loop, ...) \
	AVOW_CALL_(loop, #__VA_ARGS__, AVOW_START_ZERO_, __VA_ARGS__)
#define AVOW_PROMISIFY_TRUE(loop, ...) \
	AVOW_CALL_(loop, #__VA_ARGS__, AVOW_START_TRUE_, __VA_ARGS__)
#define AVOW_PROMISIFY_ID(loop, ...) \
	AVOW_CALL_(loop, #__VA_ARGS__, AVOW_START_ID_, __VA_ARGS__)
#define AVOW_PROMISIFY_PTR(loop, ...) \
	AVOW_CALL_(loop, #__VA_ARGS__, AVOW_START_PTR_, __VA_ARGS__)
#define AVOW_PROMISIFY_VOID(loop, ...) \
	AVOW_CALL_(loop, #__VA_ARGS__, AVOW_START_VOID_, __VA_ARGS__)

#define AVOW_CALL_BODY_(loop, text, start, ...)                            \
		avow_call avow_call_ = avow_begin_at(AVOW_HERE, (loop),    \
						     text);                \
		if (avow_call_.is_open) {                                  \
			void *const AVOW_CONTEXT = avow_call_.context;     \
			start(__VA_ARGS__)                                 \
		}
#ifndef __cplusplus
#define AVOW_CALL_(loop, text, start, ...)                                 \
	__extension__({                                                    \
		AVOW_CALL_BODY_(loop, text, start, __VA_ARGS__)            \
		avow_call_.promise;                                        \
	})
#define AVOW_AUTO_ __auto_type
/* A bool says "started" by true: AVOW_PROMISIFY_TRUE. */
#define AVOW_NOT_BOOL_(x)                                                  \
	typedef char avow_started_is_bool_use_PROMISIFY_TRUE_              \
		[__builtin_types_compatible_p(__typeof__(x), _Bool) ? -1 : 1] \
		AVOW_MAYBE_UNUSED;
#else
#define AVOW_CALL_(loop, text, start, ...)                                 \
	[&]() -> avow_promise * {                                          \
		AVOW_CALL_BODY_(loop, text, start, __VA_ARGS__)            \
		return avow_call_.promise;                                 \
	}()
#define AVOW_AUTO_ auto
template <typename T> struct avow_start_ { static const int ok = 1; };
template <> struct avow_start_<bool> { static const int ok = -1; };
#define AVOW_NOT_BOOL_(x)                                                  \
	static_assert(avow_start_<decltype(x)>::ok == 1,                   \
		      "a bool says started by true: AVOW_PROMISIFY_TRUE");
#endif
#define AVOW_START_ZERO_(...)                                              \
	AVOW_AUTO_ avow_started_ = (__VA_ARGS__);                          \
	AVOW_NOT_BOOL_(avow_started_)                                      \
	if (avow_started_ != 0)                                            \
		(void)avow_end(avow_call_, false, (int)avow_started_);
#define AVOW_START_TRUE_(...) \
	if (!(__VA_ARGS__))              \
		(void)avow_end(avow_call_, false, 0);
#define AVOW_START_ID_(...)                                                \
	AVOW_AUTO_ avow_started_ = (__VA_ARGS__);                          \
	if (avow_started_ < 0)                                             \
		(void)avow_end(avow_call_, false, (int)avow_started_);
#define AVOW_START_PTR_(...) \
	if (!(__VA_ARGS__))              \
		(void)avow_end(avow_call_, false, 0);
#define AVOW_START_VOID_(...)                                              \
	(__VA_ARGS__);


/* ------------------------------------------------------------ And back
 *
 * AVOW_CALLBACKIFY(photo_done, AVOW_ERR(int, photo_strerror),
 *                  AVOW_OWN(photo), AVOW_CTX(void *)) writes
 *
 *     static void photo_done(avow_promise *p,
 *                            void (*callback)(int, photo *, void *),
 *                            const void *context);
 *
 * which hands the outcome of `p` to a legacy consumer, with the roles above
 * and at most one result: an error as its code (0 is none; a code of 0 is
 * passed as -1), AVOW_OWN gives the result away, AVOW_COPY, AVOW_STR and
 * AVOW_BYTES lend it for the call, AVOW_SKIP is 0.  Where nothing could be
 * attached, out of memory, the callback is called at once, with ENOMEM.
 */
/* A result that is given away is taken first: it may be that it cannot. */
#define AVOW_GIVE_ctx_(name, i, T)
#define AVOW_GIVE_err_(name, i, T, x)
#define AVOW_GIVE_negerr_(name, i, T, x)
#define AVOW_GIVE_errin_(name, i, T, x)
#define AVOW_GIVE_negerrin_(name, i, T, x)
#define AVOW_GIVE_own_(name, i, type, T) \
	if (!avow_is_error(value))       \
		value = taken_ = avow_take(value);
#define AVOW_GIVE_copy_(name, i, type, T)
#define AVOW_GIVE_bytes_(name, i, P, N)
#define AVOW_GIVE_num_(name, i, T)
#define AVOW_GIVE_str_(name, i, P)
#define AVOW_GIVE_skip_(name, i, T)

#define AVOW_LENT_ctx_(name, i, T) T p##i;
#define AVOW_LENT_err_(name, i, T, x)
#define AVOW_LENT_negerr_(name, i, T, x)
#define AVOW_LENT_errin_(name, i, T, x)
#define AVOW_LENT_negerrin_(name, i, T, x)
#define AVOW_LENT_own_(name, i, type, T)
#define AVOW_LENT_copy_(name, i, type, T)
#define AVOW_LENT_bytes_(name, i, P, N)
#define AVOW_LENT_num_(name, i, T)
#define AVOW_LENT_str_(name, i, P)
#define AVOW_LENT_skip_(name, i, T)

#define AVOW_OUT_ctx_(name, i, T) T p##i = to->p##i;
#define AVOW_OUT_err_(name, i, T, x) \
	T p##i = (T)(ok_ ? 0 : avow_code(value) ? avow_code(value) : -1);
#define AVOW_OUT_negerr_(name, i, T, x) \
	T p##i = (T)(ok_ ? 0 : avow_code(value) < 0 ? avow_code(value) : \
		     avow_code(value) > 0 ? -avow_code(value) : -1);
#define AVOW_OUT_errin_(name, i, T, x) AVOW_OUT_err_(name, i, T, x)
#define AVOW_OUT_negerrin_(name, i, T, x) AVOW_OUT_negerr_(name, i, T, x)
#define AVOW_OUT_own_(name, i, type, T) \
	T p##i = ok_ ? (T)type##_get(value) : (T)0;
#define AVOW_OUT_copy_(name, i, type, T) \
	T p##i = ok_ ? (T)type##_get(value) : (T)0;
#define AVOW_OUT_bytes_(name, i, P, N)                                     \
	const bool has##i = ok_ && !avow_is_none(value);                   \
	P p##i = has##i ? (P)avow_str_get(value) : (P)0;                   \
	N n##i = has##i ? (N)avow_str_size(value) : (N)0;
#define AVOW_OUT_str_(name, i, P) \
	P p##i = ok_ && !avow_is_none(value) ? (P)avow_str_get(value) : (P)0;
#define AVOW_OUT_num_(name, i, T)                                          \
	T p##i = !ok_ ? (T)0 : AVOW_IS_REAL_(T) ? (T)avow_double_get(value) : \
		 (T)avow_int_get(value);
#define AVOW_OUT_skip_(name, i, T) T p##i = (T)0;

#define AVOW_ARG_ctx_(name, i, T) AVOW_COMMA_##i p##i
#define AVOW_ARG_err_(name, i, T, x) AVOW_COMMA_##i p##i
#define AVOW_ARG_negerr_(name, i, T, x) AVOW_COMMA_##i p##i
#define AVOW_ARG_errin_(name, i, T, x) AVOW_COMMA_##i p##i
#define AVOW_ARG_negerrin_(name, i, T, x) AVOW_COMMA_##i p##i
#define AVOW_ARG_own_(name, i, type, T) AVOW_COMMA_##i p##i
#define AVOW_ARG_copy_(name, i, type, T) AVOW_COMMA_##i p##i
#define AVOW_ARG_bytes_(name, i, P, N) AVOW_COMMA_##i p##i, n##i
#define AVOW_ARG_num_(name, i, T) AVOW_COMMA_##i p##i
#define AVOW_ARG_str_(name, i, P) AVOW_COMMA_##i p##i
#define AVOW_ARG_skip_(name, i, T) AVOW_COMMA_##i p##i

#define AVOW_KEEP_ctx_(name, i, T) to_.p##i = (T)(uintptr_t)context;
#define AVOW_KEEP_err_(name, i, T, x)
#define AVOW_KEEP_negerr_(name, i, T, x)
#define AVOW_KEEP_errin_(name, i, T, x)
#define AVOW_KEEP_negerrin_(name, i, T, x)
#define AVOW_KEEP_own_(name, i, type, T)
#define AVOW_KEEP_copy_(name, i, type, T)
#define AVOW_KEEP_bytes_(name, i, P, N)
#define AVOW_KEEP_num_(name, i, T)
#define AVOW_KEEP_str_(name, i, P)
#define AVOW_KEEP_skip_(name, i, T)

#define AVOW_CALLBACKIFY(name, ...)                                        \
	struct name##_to_ {                                                \
		void (*callback)(                                          \
			AVOW_EACH_(AVOW_PARAM_, name, __VA_ARGS__));       \
		AVOW_EACH_(AVOW_LENT_, name, __VA_ARGS__)                  \
	};                                                                 \
	static avow_value name##_hand_(avow_value value, void *arg)        \
	{                                                                  \
		const struct name##_to_ *to =                              \
			(const struct name##_to_ *)arg;                    \
		avow_value taken_ = avow_none();                           \
		AVOW_EACH_(AVOW_GIVE_, name, __VA_ARGS__)                  \
		const bool ok_ = !avow_is_error(value);                    \
		AVOW_EACH_(AVOW_OUT_, name, __VA_ARGS__)                   \
		to->callback(AVOW_EACH_(AVOW_ARG_, name, __VA_ARGS__));    \
		if (avow_is_error(taken_))                                 \
			avow_drop(taken_);                                 \
		return avow_none();                                        \
	}                                                                  \
	AVOW_MAYBE_UNUSED static void name(                                \
		avow_promise *p,                                           \
		void (*callback)(                                          \
			AVOW_EACH_(AVOW_PARAM_, name, __VA_ARGS__)),       \
		const void *context)                                       \
	{                                                                  \
		struct name##_to_ to_;                                     \
		avow_handlers handlers_;                                   \
		memset(&to_, 0, sizeof(to_));                              \
		to_.callback = callback;                                   \
		AVOW_EACH_(AVOW_KEEP_, name, __VA_ARGS__)                  \
		handlers_.fulfilled = handlers_.rejected = name##_hand_;   \
		handlers_.finally = 0;                                     \
		handlers_.arg = 0;                                         \
		handlers_.copy = &to_;                                     \
		handlers_.copy_size = sizeof(to_);                         \
		handlers_.drop = 0;                                        \
		if (!avow_try_(AVOW_HERE, p, &handlers_))                  \
			(void)name##_hand_(avow_errno(ENOMEM), &to_);          \
	}                                                                  \
	AVOW_END_(name)

#ifdef __cplusplus
extern "C" {
#endif
/* As avow_on_at(), but says when nothing could be attached. */
AVOW_API bool avow_try_(const char *place, avow_promise *p,
			const avow_handlers *handlers);
#ifdef __cplusplus
}
#endif

#endif /* AVOW_CALLBACK_H */
