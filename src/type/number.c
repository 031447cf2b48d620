/*
 * number.c: a number of a text, as strtof() reads it.
 *
 * Nearly all numbers that are met are a few digits with a point and perhaps an exponent.
 * If the digits are an exact double, and so is the power of ten, then one multiplication or
 * division gives the double that is nearest to the number (W. Clinger, "How to read
 * floating point numbers accurately", 1990). The float nearest to that is also the nearest
 * to the number, unless the double lies in the middle of two floats, to which it may have
 * been rounded. That case, and everything else, is left to strtof().
 */
#include "postgres.h"

#include <errno.h>

#include "type/text.h"

/* 10^15 < 2^53, and 10^22 is the largest power of ten that is a double. */
#define MAX_DIGITS 15
#define MAX_POWER 22
/* more than this many zeros are not worth counting */
#define MAX_LENGTH 64

static const double powers[MAX_POWER + 1] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};

/* Digits with or without a point: their number, what they are worth, and how many are
 * behind the point. */
typedef struct Digits
{
	uint64		value;
	int			significant;
	int			behind;
	int			count;
} Digits;

static const char *
ReadDigits(const char *at, Digits *digits)
{
	bool		point = false;

	memset(digits, 0, sizeof(*digits));
	for (; digits->count < MAX_LENGTH && digits->significant <= MAX_DIGITS; at++)
	{
		if (*at == '.' && !point)
		{
			point = true;
			continue;
		}
		if (*at < '0' || *at > '9')
			break;
		digits->value = digits->value * 10 + (*at - '0');
		digits->significant += digits->value != 0;
		digits->behind += point;
		digits->count++;
	}
	return at;
}

/* The exponent at the end of a number; one of many digits comes out as too large. */
static const char *
ReadExponent(const char *at, int *exponent)
{
	bool		negative;
	int			digits = 0;

	*exponent = 0;
	if (*at != 'e' && *at != 'E')
		return at;
	at++;
	negative = *at == '-';
	if (*at == '-' || *at == '+')
		at++;
	for (; *at >= '0' && *at <= '9' && digits < 4; at++, digits++)
		*exponent = *exponent * 10 + (*at - '0');
	if (digits == 0)
		return NULL;
	if (negative)
		*exponent = -*exponent;
	return at;
}

/* Does the double lie in the middle of two floats? */
static bool
IsBetweenFloats(double x)
{
	uint64		bits;

	memcpy(&bits, &x, sizeof(bits));
	return (bits & 0x1FFFFFFF) == 0x10000000;
}

/* Does a number end here, whatever strtof() would take for a part of one? */
static bool
IsEnd(char c)
{
	return c == ',' || c == ']' || c == '}' || c == ' ' || c == '\0';
}

static bool
ReadPlain(const char *at, float *value, const char **end)
{
	bool		negative = *at == '-';
	Digits		digits;
	int			exponent;
	double		x;

	at = ReadDigits(at + negative, &digits);
	if (digits.count == 0 || digits.significant > MAX_DIGITS)
		return false;
	at = ReadExponent(at, &exponent);
	if (at == NULL || !IsEnd(*at))
		return false;
	exponent -= digits.behind;
	if (exponent < -MAX_POWER || exponent > MAX_POWER)
		return false;
	x = exponent < 0 ? digits.value / powers[-exponent] : digits.value * powers[exponent];
	if (IsBetweenFloats(x))
		return false;
	*value = negative ? -(float) x : (float) x;
	*end = at;
	return true;
}

float
TextReadFloat(const char *at, const char **end)
{
	float		value;
	char	   *after;

	errno = 0;
	if (ReadPlain(at, &value, end))
		return value;
	value = strtof(at, &after);
	*end = after;
	return value;
}
