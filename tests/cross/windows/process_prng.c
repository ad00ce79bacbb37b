/* The one function of bcryptprimitives.dll that Rust's library needs, for Wines that lack the DLL. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
    while (size > 0) {
        ULONG some = size > 0x10000000 ? 0x10000000 : (ULONG)size;
        if (!SystemFunction036(data, some))
            return FALSE;
        data += some;
        size -= some;
    }
    return TRUE;
}
